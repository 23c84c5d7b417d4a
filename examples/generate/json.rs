//! docs/zfsync.schema.json as a page for readers: docs/json.md.

use std::fmt::{self, Write as _};
use std::marker::PhantomData;

use anyhow::Context as _;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

const SCHEMA: &str = include_str!("../../docs/zfsync.schema.json");

/// What stands before the tables.
const HEAD: &str = "\
# JSON output

<!-- Written by `cargo run --example generate` from docs/zfsync.schema.json and examples/generate/json.rs. -->

This page describes all JSON that zfsync writes. [zfsync.schema.json](zfsync.schema.json) is the same as a JSON Schema (2020-12), with a
definition for each kind of line or file.

| where | definition | |
|---|---|---|
| `push --json`, `pull --json`, `restore --json`; logs with `--log-format json` | `event` | an object per line |
| `push -n --json` | `event` | the last line is the `plan` |
| `status --json` | `status` | a line for each dataset and target |
| `verify --json` | `verify` | a line for each dataset |
| `targets --json` | `targets` | a line for each target |
| `doctor --json` | `doctor` | one line; with `--job` one for each target |
| stdin of `on-success` and `on-failure` | `job_result` | one line |
| `--state-dir`: a file for each dataset | `dataset_result` | one object |
| `--state-dir`: `run.json` | `run_result` | one object |
| `destroyed.jsonl` | `destruction` | an object per line |

`schema_version` is 1. It is raised when a field is removed or changes its meaning. New fields, new events and new values of an
enumeration don't raise it: ignore what you don't know. Sizes are in bytes, durations in seconds. Text that comes from zfs or ssh may
contain several lines. Errors before the first line, such as a usage error, are on
stderr only; use the exit code.

```sh
# datasets that failed, and why
zfsync push --json tank/data backup:pool/data |
    jq -r 'select(.event == \"dataset_failed\") | .dataset + \": \" + .error'
# what is more than a day behind
zfsync status --json tank/data backup:pool/data | jq -r 'select(.behind_seconds > 86400) | .dataset'
# what was destroyed today on this machine
jq -r 'select(.phase == \"done\" and .host == null and .time >= (now | todate | .[:10])) | .time + \" \" + .name + \" \" + .rule' \\
    /var/lib/zfsync/destroyed.jsonl
```
";

/// Entries in the order of the file.
struct Ordered<T>(Vec<(String, T)>);

#[derive(Deserialize)]
struct Schema {
    #[serde(rename = "$defs")]
    definitions: Ordered<Definition>,
}

#[derive(Deserialize)]
struct Definition {
    title: String,
    description: Option<String>,
    #[serde(default, rename = "type")]
    kind: Value,
    #[serde(default)]
    properties: Ordered<Value>,
    #[serde(default)]
    required: Vec<String>,
}

impl<T> Default for Ordered<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Ordered<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Ordered<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered<T>, A::Error> {
                let mut all = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    all.push(entry);
                }
                Ok(Ordered(all))
            }
        }

        deserializer.deserialize_map(Entries(PhantomData))
    }
}

/// The page.
pub fn page() -> anyhow::Result<String> {
    let schema: Schema = serde_json::from_str(SCHEMA).context("docs/zfsync.schema.json")?;
    let mut text = HEAD.to_owned();
    for (name, definition) in &schema.definitions.0 {
        schema.section(&mut text, name, definition);
    }
    Ok(text)
}

impl Schema {
    fn section(
        &self,
        text: &mut String,
        name: &str,
        Definition { title, description, properties, required, .. }: &Definition,
    ) {
        // Events, and parts of something else, stand below what they belong to.
        let event = properties.0.iter().any(|(field, about)| field == "event" && about.get("const").is_some());
        let below = event || description.is_none() || name == "line";
        let _ = writeln!(text, "\n{} {title}\n", if below { "###" } else { "##" });
        if let Some(about) = description {
            let _ = writeln!(text, "{about}");
        }
        let fields: Vec<_> = properties.0.iter().filter(|(field, _)| !(event && field == "event")).collect();
        if fields.is_empty() {
            return;
        }
        text.push_str(if description.is_some() { "\n" } else { "" });
        text.push_str("| field | type | meaning |\n|---|---|---|\n");
        for (field, about) in fields {
            let optional = if required.contains(field) { "" } else { ", optional" };
            let meaning = [about["description"].as_str().unwrap_or_default().to_owned(), values(about)].join(" ");
            let _ = writeln!(text, "| `{field}` | {}{optional} | {} |", self.kind(about), meaning.trim());
        }
    }

    /// The type of a value, in words.
    fn kind(&self, about: &Value) -> String {
        if let Some(name) = about["$ref"].as_str().and_then(|reference| reference.rsplit('/').next()) {
            let target = self.definitions.0.iter().find(|(other, _)| other == name).map(|(_, definition)| definition);
            let title = target.map(|target| target.title.to_lowercase()).unwrap_or_default();
            let null = if target.is_some_and(|target| target.kind.is_array()) { " or null" } else { "" };
            return format!("[object](#{}){null}", title.replace('\'', "").replace(' ', "-"));
        }
        if let Some(choices) = about["anyOf"].as_array() {
            return choices.iter().map(|choice| self.kind(choice)).collect::<Vec<_>>().join(" or ");
        }
        if let Some(value) = about.get("const") {
            return format!("`{value}`");
        }
        match &about["type"] {
            Value::String(kind) if kind == "array" && about["items"].get("prefixItems").is_some() => {
                "list of pairs".into()
            }
            Value::String(kind) if kind == "array" => format!("list of {}", plural(&self.kind(&about["items"]))),
            Value::String(kind) => kind.clone(),
            Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
            _ => String::new(),
        }
    }
}

fn plural(kind: &str) -> String {
    match kind.strip_prefix("[object]") {
        Some(link) => format!("[objects]{link}"),
        None => format!("{kind}s"),
    }
}

/// The values of an enumeration.
fn values(about: &Value) -> String {
    let all = about["enum"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let all: Vec<String> = all.map(|value| format!("`{value}`")).collect();
    if all.is_empty() { String::new() } else { format!("One of {}.", all.join(", ")) }
}
