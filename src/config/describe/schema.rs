//! The table of settings as JSON Schema (draft 2020-12), for editors and charts.

use serde_json::{Map, Value as Json, json};

use super::super::problem::Origin;
use super::super::setting::{Fallback, Kind, Setting};
use super::super::table;
use super::super::value::Value;

/// The schema of the whole file.
pub fn json_schema() -> Json {
    let mut schema = object("");
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("The configuration of pogo");
    schema
}

/// The schema of the table at `prefix` (`""`, `edge.`, `channel[].`).
fn object(prefix: &str) -> Json {
    let mut properties = Map::new();
    let mut required = Vec::new();
    let mut secrets = Vec::new();
    for name in table::names(prefix) {
        let key = format!("{prefix}{name}");
        let place = table::place(&key);
        let mut forms = Vec::new();
        if let Some(setting) = place.leaf {
            forms.push(leaf(setting));
            if setting.default == Fallback::Required {
                if setting.kind == Kind::Secret {
                    secrets.push(name.clone());
                } else {
                    required.push(name.clone());
                }
            }
        }
        if let Some(secret) = place.file_of {
            let about = format!("A file that holds it. {}", secret.about);
            forms.push(json!({"type": "string", "minLength": 1, "description": about}));
        }
        if place.table {
            forms.push(object(&format!("{key}.")));
        }
        if place.list {
            forms.push(json!({"type": "array", "items": object(&format!("{key}[]."))}));
        }
        let form = if forms.len() == 1 {
            forms.remove(0)
        } else {
            json!({"anyOf": forms})
        };
        properties.insert(name, form);
    }
    let mut schema =
        json!({"type": "object", "additionalProperties": false, "properties": properties});
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    if !secrets.is_empty() {
        let either = |name: &String| {
            let file = format!("{name}_file");
            json!({"oneOf": [{"required": [name]}, {"required": [file]}]})
        };
        schema["allOf"] = secrets.iter().map(either).collect();
    }
    schema
}

fn leaf(setting: &Setting) -> Json {
    let mut schema = form(setting.kind);
    schema["description"] = json!(setting.about);
    if let Fallback::Value(raw) = setting.default {
        schema["default"] = plain(&setting.kind.interpret(raw, &Origin::Default).value);
    }
    schema
}

fn form(kind: Kind) -> Json {
    match kind {
        Kind::Text | Kind::Secret | Kind::Path | Kind::Network | Kind::Pattern => {
            json!({"type": "string", "minLength": 1})
        }
        Kind::Url => json!({"type": "string", "pattern": "^https?://"}),
        Kind::Flag => json!({"type": "boolean"}),
        Kind::Count { min, max } | Kind::Bytes { min, max } => {
            json!({"type": "integer", "minimum": min, "maximum": max})
        }
        Kind::Span { .. } => json!({"type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$"}),
        Kind::Address => json!({"type": "string", "pattern": ":[0-9]{1,5}$"}),
        Kind::Choice(choices) => json!({"enum": choices}),
        Kind::List(item) => {
            let item = form(*item);
            json!({"anyOf": [{"type": "array", "items": item}, item]})
        }
        Kind::Part => json!({"type": "number", "exclusiveMinimum": 0, "maximum": 1}),
    }
}

fn plain(value: &Value) -> Json {
    match value {
        Value::Text(text) => json!(text),
        Value::Integer(number) => json!(number),
        Value::Float(number) => json!(number),
        Value::Flag(flag) => json!(flag),
        Value::List(items) => items.iter().map(|item| plain(&item.value)).collect(),
        Value::Time | Value::Table(_) => Json::Null,
    }
}
