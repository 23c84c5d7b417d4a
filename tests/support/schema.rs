//! docs/zfsync.schema.json against what zfsync writes: nothing else may be in it, and nothing that never is.
//! Unit tests and tests of the command line share this file.

#![allow(dead_code, reason = "each of them uses a part of it")]

use serde_json::{Value, json};

const TEXT: &str = include_str!("../../docs/zfsync.schema.json");

/// The schema as it is published.
pub fn published() -> Value {
    serde_json::from_str(TEXT).unwrap()
}

/// The published schema lets readers meet fields that are added later. Here a field without a description is an error.
fn closed(node: &mut Value, open: bool) {
    match node {
        Value::Object(fields) => {
            if fields.contains_key("properties") && !open {
                fields.insert("unevaluatedProperties".into(), false.into());
            }
            // What others include with allOf can't know their fields.
            fields.iter_mut().for_each(|(name, below)| closed(below, name == "line"));
        }
        Value::Array(all) => all.iter_mut().for_each(|below| closed(below, false)),
        _ => {}
    }
}

/// The values are as a definition says.
#[track_caller]
pub fn conform<'a>(definition: &str, values: impl IntoIterator<Item = &'a Value>) {
    let mut schema = published();
    assert!(schema["$defs"].get(definition).is_some(), "{definition} is not defined");
    closed(&mut schema["$defs"], false);
    let schema = json!({ "$defs": schema["$defs"], "$ref": format!("#/$defs/{definition}") });
    let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
    for value in values {
        let errors: Vec<String> =
            validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{value:#}\nis no {definition}: {errors:#?}");
    }
}

/// They are, and together they have each field (with a value that is not null) and each value of each enumeration.
#[track_caller]
pub fn cover(definition: &str, values: &[Value]) {
    conform(definition, values);
    let schema = published();
    let mut missing = Vec::new();
    let values: Vec<&Value> = values.iter().collect();
    visit(&schema, &schema["$defs"][definition], &values, definition, &mut missing);
    assert!(missing.is_empty(), "no sample has these: {missing:#?}");
}

/// Each line as an object.
#[track_caller]
pub fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

/// Looks at all values that a part of the schema is about.
fn visit(schema: &Value, node: &Value, values: &[&Value], path: &str, missing: &mut Vec<String>) {
    if let Some(reference) = node["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap();
        visit(schema, &schema["$defs"][name], values, path, missing);
    }
    for choice in ["allOf", "anyOf", "oneOf"].iter().filter_map(|key| node[key].as_array()).flatten() {
        visit_choice(schema, choice, values, path, missing);
    }
    for wanted in node["enum"].as_array().into_iter().flatten() {
        if !wanted.is_null() && !values.contains(&wanted) {
            missing.push(format!("{path} = {wanted}"));
        }
    }
    for (name, below) in node["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let found: Vec<&Value> =
            values.iter().filter_map(|value| value.get(name)).filter(|found| !found.is_null()).collect();
        if found.is_empty() {
            missing.push(path);
        } else {
            visit(schema, below, &found, &path, missing);
        }
    }
    if node.get("items").is_some() {
        let found: Vec<&Value> = values.iter().filter_map(|value| value.as_array()).flatten().collect();
        if found.is_empty() {
            missing.push(format!("{path}[]"));
        } else {
            visit(schema, &node["items"], &found, path, missing);
        }
    }
}

/// One of several forms: events are told apart by their names.
fn visit_choice(schema: &Value, choice: &Value, values: &[&Value], path: &str, missing: &mut Vec<String>) {
    let name = choice["$ref"].as_str().and_then(|reference| reference.rsplit('/').next());
    let event = name.and_then(|name| schema["$defs"][name]["properties"]["event"]["const"].as_str());
    let Some(event) = event else { return visit(schema, choice, values, path, missing) };
    let own: Vec<&Value> = values.iter().copied().filter(|value| value["event"] == event).collect();
    if own.is_empty() {
        missing.push(format!("the event {event}"));
    } else {
        visit(schema, choice, &own, event, missing);
    }
}
