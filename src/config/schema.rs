//! The JSON Schema (draft 2020-12) of a configuration file, for editors: made from the types that read it.
//!
//! Invariant: what the schema takes, `File::check` takes, as far as a schema can tell; the defaults in it are those of
//! [`Settings`]. Nothing here is asked when a configuration is read.

use std::borrow::Cow;
use std::time::Duration;

use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::file::{Bytes, File, Span};
use crate::model::Settings;
use crate::model::text::duration;

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Numbers with a unit one after the other: `90s`, `30m`, `1h30m`, `7d`; a lone `0` needs none.",
            "type": "string",
            "pattern": r"^\s*(0|([0-9]+(ms|s|m|h|d|w)\s*)+)\s*$",
        })
    }
}

impl JsonSchema for Bytes {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number of bytes with a unit: `500MB`, `2GiB`.",
            "type": "string",
            "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*([kKmMgGtTpPeE]([iI]?[bB])?|[bB])?\s*$",
        })
    }
}

/// Returns the schema of a configuration file. Unknown keys are refused, though `wt` itself only warns of them.
pub fn schema() -> Schema {
    let generator =
        SchemaSettings::draft2020_12().with_transform(WithoutNull).with_transform(Plain("not set"));
    let generator = generator.into_generator();
    let mut schema = generator.into_root_schema_for::<File>();
    let defaults = defaults(&Settings::default());
    for (pointer, default) in leaves(schema.as_value(), &defaults) {
        if let Some(Value::Object(key)) = schema.pointer_mut(&pointer) {
            key.insert("default".to_owned(), default);
        }
    }
    schema
}

/// Makes descriptions plain that were written for readers of the source: no links into it, and this for `None`.
#[derive(Debug, Clone, Copy)]
pub struct Plain(pub &'static str);

impl Transform for Plain {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        let Some(Value::String(text)) = schema.get_mut("description") else { return };
        if text.ends_with("SCHEMA`].") {
            "The version of this form.".clone_into(text);
        }
        *text = text.replace("[`", "`").replace("`]", "`").replace("`None`", self.0);
    }
}

/// TOML has no null: a key that is not set is left out.
#[derive(Debug, Clone)]
struct WithoutNull;

impl Transform for WithoutNull {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        let Some(object) = schema.as_object_mut() else { return };
        if object.get("default") == Some(&Value::Null) {
            object.remove("default");
        }
        if let Some(Value::Array(types)) = object.get_mut("type") {
            types.retain(|name| name != "null");
            if let [only] = &types[..] {
                let only = only.clone();
                object.insert("type".to_owned(), only);
            }
        }
        if let Some(Value::Array(values)) = object.get_mut("enum") {
            values.retain(|value| !value.is_null());
        }
        if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
            choices.retain(|choice| choice != &json!({ "type": "null" }));
            if let [Value::Object(only)] = &choices[..] {
                let only = only.clone();
                object.remove("anyOf");
                for (key, value) in only {
                    object.entry(key).or_insert(value);
                }
            }
        }
    }
}

/// Returns the built-in settings in the form of a file.
fn defaults(s: &Settings) -> Value {
    let span = |time: Duration| if time.is_zero() { "0".to_owned() } else { duration(time) };
    let (limits, workspace) = (&s.limits, &s.workspace);
    json!({
        "branch": s.branch,
        "on_event": s.on_event,
        "limits": {
            "slots": limits.slots,
            "worktrees": limits.worktrees,
            "timeout": span(limits.timeout),
            "stall": span(limits.stall),
            "stagger": span(limits.stagger),
            "memory": size(limits.memory),
            "retries": limits.retries,
            "budget_usd": limits.budget_usd,
            "budget_tokens": limits.budget_tokens,
            "budget_time": span(limits.budget_time),
            "day_usd": limits.day.usd,
            "day_tokens": limits.day.tokens,
            "day_time": span(Duration::from_millis(limits.day.time_ms)),
        },
        "workspace": {
            "copy": workspace.copy,
            "symlink": workspace.symlink,
            "setup": workspace.setup,
            "setup_timeout": span(workspace.setup_timeout),
            "ports": workspace.ports,
            "pool": workspace.pool,
            "pool_disk": size(workspace.pool_disk),
            "caches": workspace.caches,
            "reserve": size(workspace.reserve),
        },
        "agent": { "default": s.agent.default, "commit": s.agent.commit },
        "loop": { "max": s.looping.max, "until": s.looping.until, "no_progress": s.looping.no_progress },
        "merge": {
            "agent": s.merge.agent,
            "auto": s.merge.auto,
            "batch": s.merge.batch,
            "structural": s.merge.structural.tools(),
            "review": s.merge.review,
            "fetch": s.merge.fetch,
            "push": s.merge.push,
            "style": s.merge.style,
            "message": s.merge.message,
            "merges": s.merge.merges,
            "foresee": span(s.merge.foresee),
        },
        "gc": { "stale": span(s.gc.stale), "trash": span(s.gc.trash) },
    })
}

/// Returns a number of bytes as it is written in a file.
fn size(bytes: u64) -> String {
    let units = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1000, "kB"), (1, "B")];
    let (unit, name) = units.into_iter().find(|(unit, _)| bytes.is_multiple_of(*unit)).unwrap_or((1, "B"));
    format!("{}{name}", bytes / unit)
}

/// Returns the JSON pointer of each key in the schema, with its default.
fn leaves(schema: &Value, defaults: &Value) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    let empty = Map::new();
    for (key, value) in defaults.as_object().unwrap_or(&empty) {
        let at = format!("/properties/{key}");
        let Value::Object(table) = value else {
            found.push((at, value.clone()));
            continue;
        };
        let target = schema.pointer(&at).and_then(|table| table.get("$ref")?.as_str()?.strip_prefix('#'));
        let table_at = target.map_or(at.clone(), str::to_owned);
        found
            .extend(table.iter().map(|(key, value)| (format!("{table_at}/properties/{key}"), value.clone())));
    }
    found
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::keys::KEYS;
    use super::super::layers::{Layers, load};
    use super::*;
    use crate::model::settings::Structural;

    fn built_in() -> Vec<(String, String)> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/templates/agents");
        let mut files: Vec<_> =
            fs_err::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
            .into_iter()
            .map(|path| (path.display().to_string(), fs_err::read_to_string(&path).unwrap()))
            .collect()
    }

    fn loads(text: &str) -> Result<Settings, String> {
        let built_in = built_in();
        let built_in: Vec<(&str, &str)> =
            built_in.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let layers = Layers { built_in: &built_in, repository: Some(text.as_bytes()), ..Layers::default() };
        load(&layers).map(|loaded| loaded.settings).map_err(|error| error.to_string())
    }

    fn validator() -> jsonschema::Validator {
        jsonschema::options().build(&schema().to_value()).unwrap()
    }

    fn valid(validator: &jsonschema::Validator, text: &str) -> bool {
        let table: toml::Table = toml::from_str(text).unwrap();
        validator.is_valid(&serde_json::to_value(table).unwrap())
    }

    /// Every key that the schema knows, `*` for a name or a number.
    fn keys(whole: &Value, schema: &Value, path: &str, found: &mut BTreeSet<String>) {
        if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
            let target = whole.pointer(target.strip_prefix('#').unwrap()).unwrap();
            return keys(whole, target, path, found);
        }
        let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        for (key, value) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            found.insert(below(key));
            keys(whole, value, &below(key), found);
        }
        for inner in ["additionalProperties", "items"] {
            if let Some(value) = schema.get(inner).filter(|value| value.is_object()) {
                keys(whole, value, &below("*"), found);
            }
        }
    }

    #[test]
    fn schema_and_known_keys_are_the_same() {
        let whole = schema().to_value();
        let mut found = BTreeSet::new();
        keys(&whole, &whole, "", &mut found);
        let known: BTreeSet<String> =
            KEYS.iter().filter(|key| !key.ends_with('*')).map(|key| (*key).to_owned()).collect();
        assert_eq!(found, known);
    }

    #[test]
    fn every_key_is_described() {
        fn walk(at: &str, schema: &Value) {
            for (key, value) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
                let told = value.get("description").and_then(Value::as_str).unwrap_or_default();
                assert!(!told.is_empty(), "{at}.{key} has no description");
                assert!(value.get("default") != Some(&Value::Null), "{at}.{key}: TOML has no null");
            }
        }
        let whole = schema().to_value();
        walk("", &whole);
        for (name, schema) in whole["$defs"].as_object().unwrap() {
            walk(name, schema);
        }
        assert!(!whole.to_string().contains("\"null\""), "TOML has no null");
    }

    #[test]
    fn the_defaults_shown_are_the_settings_of_no_configuration_at_all() {
        let shown = defaults(&Settings::default());
        assert!(validator().is_valid(&shown));
        let with = loads(&toml::to_string(&shown).unwrap()).unwrap();
        let mut without = loads("").unwrap();
        // Who names the known tools only wants to hear of it where one is missing.
        without.merge.structural = Structural::Named(without.merge.structural.tools());
        assert_eq!(with, without);
        // A value that differs from the default must differ in the settings, or the line above proves nothing.
        for (table, keys) in shown.as_object().unwrap().iter().filter(|(_, keys)| keys.is_object()) {
            let whole = schema().to_value();
            let at = whole.pointer(&format!("/properties/{table}/$ref")).unwrap().as_str().unwrap();
            let known = &whole.pointer(at.strip_prefix('#').unwrap()).unwrap()["properties"];
            let known: BTreeSet<&String> = known.as_object().unwrap().keys().collect();
            assert_eq!(known, keys.as_object().unwrap().keys().collect(), "{table}: each key has a default");
        }
    }

    #[test]
    fn the_ends_of_each_range_are_those_of_the_reader() {
        let validator = validator();
        let whole = schema().to_value();
        let mut checked = 0;
        for (table, _) in defaults(&Settings::default()).as_object().unwrap() {
            let Some(at) = whole.pointer(&format!("/properties/{table}/$ref")).and_then(Value::as_str) else {
                continue;
            };
            let known = &whole.pointer(at.strip_prefix('#').unwrap()).unwrap()["properties"];
            for (key, schema) in known.as_object().unwrap() {
                let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
                let float = schema["type"] == "number";
                let ends = [bound("minimum").map(|n| (n, n - 1.0)), bound("maximum").map(|n| (n, n + 1.0))];
                for (inside, outside) in ends.into_iter().flatten() {
                    for n in [inside, outside] {
                        let n = if float { format!("{n:.1}") } else { format!("{n:.0}") };
                        if n.parse::<f64>().is_ok_and(|n| n > 1e9) {
                            continue;
                        }
                        let text = format!("[{table}]\n{key} = {n}\n");
                        assert_eq!(valid(&validator, &text), loads(&text).is_ok(), "{text}");
                        checked += 1;
                    }
                }
            }
        }
        assert!(checked > 30, "only {checked} ends were looked at");
    }

    #[test]
    fn good_files_are_good_and_bad_ones_bad_to_both() {
        let validator = validator();
        for (name, text) in built_in() {
            assert!(valid(&validator, &text), "{name}");
        }
        for good in [
            "target = \"main\"\n[[verify]]\nrun = \"true\"\n",
            "[limits]\ntimeout = \"1h 30m\"\nstall = \"90s\"\nbudget_time = \"0\"\n",
            "[workspace]\nreserve = \"2GiB\"\npool_disk = \"500MB\"\n",
            "[profiles.x]\nagent = \"claude\"\nfallback = [\"a\"]\n[agents.y]\ncommand = [\"y\"]\n",
        ] {
            assert!(valid(&validator, good), "{good}");
            loads(good).unwrap();
        }
        for bad in [
            "[limits]\nslots = \"three\"\n",
            "[limits]\ntimeout = \"soon\"\n",
            "[limits]\ntimeout = 30\n",
            "branch = \"agents\"\n",
            "[agent]\ncommit = \"never\"\n",
            "[loop]\nuntil = \" \"\n",
            "[[verify]]\nname = \"x\"\n",
            "[workspace]\nreserve = \"much\"\n",
            "[agents.x]\nevents = \"xml\"\n",
        ] {
            assert!(!valid(&validator, bad), "{bad}");
            loads(bad).unwrap_err();
        }
        for unknown in [
            "colour = 1\n",
            "[limits]\nslot = 1\n",
            "[agents.x]\ncomand = []\n",
            "[[verify]]\nrun = \"x\"\nx = 1\n",
        ] {
            assert!(!valid(&validator, unknown), "an unknown key is refused: {unknown}");
        }
    }
}
