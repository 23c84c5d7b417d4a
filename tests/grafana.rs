//! docs/grafana.json asks for metrics and labels that `zfsync status --prometheus` has, and leaves none out.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use support::Bed;

const DASHBOARD: &str = include_str!("../docs/grafana.json");
/// What Prometheus adds to each.
const ADDED: [&str; 3] = ["__name__", "instance", "job"];

type Metrics = BTreeMap<String, BTreeSet<String>>;

/// The metrics of a bed in which each of them has a value, with their labels.
fn metrics() -> Metrics {
    let bed = Bed::new();
    bed.world_with_work(1);
    let state = bed.path("state").to_str().unwrap().to_owned();
    bed.run(&["push", "-q", "--state-dir", &state, "s", "d"]).expect(0, &[]);
    bed.world(&[("s/1@c", 99, 9)]);
    let ended = bed.run(&["status", "--prometheus", "--bytes", "--state-dir", &state, "s", "d"]);
    ended.expect(0, &[]);
    let mut metrics = Metrics::new();
    for line in ended.stdout.lines().filter(|line| !line.starts_with('#')) {
        let (name, rest) = line.split_once('{').unwrap_or_else(|| panic!("{line}"));
        let labels =
            rest.rsplit_once('}').unwrap().0.split("\",").map(|label| label.split('=').next().unwrap().to_owned());
        metrics.entry(name.to_owned()).or_default().extend(labels);
    }
    for name in ended.stdout.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
        assert!(metrics.contains_key(name), "{name} has no value: {ended:#?}");
    }
    metrics
}

/// All texts under a key, wherever it is.
fn texts<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get(key).and_then(Value::as_str));
            fields.values().for_each(|below| texts(below, key, found));
        }
        Value::Array(all) => all.iter().for_each(|below| texts(below, key, found)),
        _ => {}
    }
}

/// The metrics in a query, each with the labels that are asked of it in braces.
fn selectors(query: &str) -> Vec<(String, Vec<String>)> {
    let is_name = |ch: char| ch.is_ascii_alphanumeric() || ch == '_';
    let starts = query.match_indices("zfsync_").map(|(at, _)| at);
    let selector = |at: usize| {
        let name: String = query[at..].chars().take_while(|ch| is_name(*ch)).collect();
        let inside =
            query[at + name.len()..].strip_prefix('{').and_then(|rest| rest.split('}').next()).unwrap_or_default();
        let labels = inside.split("\",").filter(|label| !label.is_empty());
        let labels = labels.map(|label| label.chars().take_while(|ch| is_name(*ch)).collect()).collect();
        (name, labels)
    };
    starts.map(selector).collect()
}

/// What stands between `before` and `after`, split at commas.
fn lists(text: &str, before: &str, after: char) -> Vec<String> {
    let lists = text.split(before).skip(1).filter_map(|rest| rest.split(after).next());
    lists.flat_map(|list| list.split(',')).map(|label| label.trim().to_owned()).collect()
}

#[test]
fn each_query_finds_what_it_asks_for() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let metrics = metrics();
    let mut shown = BTreeSet::new();
    let panels = dashboard["panels"].as_array().unwrap();
    for target in panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap()) {
        let query = target["expr"].as_str().unwrap();
        let mut known: BTreeSet<&str> = BTreeSet::new();
        for (name, labels) in selectors(query) {
            let own = metrics.get(&name).unwrap_or_else(|| panic!("{query}: no metric {name}"));
            assert!(labels.iter().all(|label| own.contains(label)), "{query}: {labels:?} of {own:?}");
            known.extend(own.iter().map(String::as_str));
            shown.insert(name);
        }
        assert!(!known.is_empty(), "{query} asks for nothing");
        let grouped = lists(query, "by (", ')');
        let legend = lists(target["legendFormat"].as_str().unwrap(), "{{", '}');
        assert!(grouped.iter().chain(&legend).all(|label| known.contains(label.as_str())), "{query}: {legend:?}");
        // What a sum is grouped by is all that is left for its legend.
        assert!(grouped.is_empty() || legend.iter().all(|label| grouped.contains(label)), "{query}: {legend:?}");
    }
    assert_eq!(shown, metrics.keys().cloned().collect(), "metrics that the dashboard shows, and all");
    let mut variables = Vec::new();
    texts(&dashboard["templating"], "query", &mut variables);
    for (name, label) in
        variables.iter().filter_map(|query| query.strip_prefix("label_values(")?.strip_suffix(')')?.split_once(", "))
    {
        assert!(metrics[name].contains(label), "{name} has no {label}");
    }
}

#[test]
fn each_state_and_result_that_is_asked_for_exists() {
    let schema: Value = serde_json::from_str(include_str!("../docs/zfsync.schema.json")).unwrap();
    let values = |definition: &str, field: &str| schema["$defs"][definition]["properties"][field]["enum"].clone();
    let mut queries = Vec::new();
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    texts(&dashboard, "expr", &mut queries);
    let mut seen = 0;
    for (label, all) in [("state", values("status", "state")), ("result", values("dataset_result", "result"))] {
        let all = all.as_array().unwrap();
        let wanted = |query: &&str| {
            let rest =
                query.split(&format!(",{label}")).nth(1)?.trim_start_matches(['=', '~', '!']).strip_prefix('"')?;
            Some(rest.split('"').next()?.to_owned())
        };
        for value in queries
            .iter()
            .filter_map(wanted)
            .flat_map(|found| found.split('|').map(ToOwned::to_owned).collect::<Vec<_>>())
        {
            assert!(all.contains(&Value::from(value.as_str())), "{label}={value}");
            seen += 1;
        }
    }
    assert!(seen >= 8, "{seen}");
}

/// Tables hide labels by name.
#[test]
fn columns_that_are_hidden_exist() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let tables = dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] == "table");
    let mut seen = 0;
    for table in tables {
        let hidden = table["transformations"][0]["options"]["excludeByName"].as_object().unwrap();
        let known = |column: &str| ADDED.contains(&column) || ["Time", "Value"].contains(&column);
        assert!(hidden.keys().all(|column| known(column)), "{hidden:?}");
        seen += 1;
    }
    assert_eq!(seen, 4);
}
