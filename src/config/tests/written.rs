//! What is written about the grammar, compared to it: the table of fields and the JSON Schema. `INFERLAY_BLESS=1` writes
//! both anew.

use super::super::grammar::{Field, Kind, Message, Short, State, Times};
use super::super::{fields::CONFIG, tree};
use super::*;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::path::Path;

/// Fields of Triton that may be not served yet; each with all that lies in it.
const NOT_YET_MAX: usize = 4;

#[test]
fn the_table_of_fields_is_up_to_date() {
    let mut rows = String::new();
    table(&CONFIG, "", None, &mut rows);
    let not_yet = not_yet();
    let list = not_yet.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let text = format!("{HEAD}{rows}\nNot yet, {} in number: {list}.\n", not_yet.len());
    compare("docs/triton-config.md", &text);
}

#[test]
fn few_fields_are_not_served_yet() {
    let not_yet = not_yet();
    assert!(not_yet.len() <= NOT_YET_MAX, "{not_yet:?}");
}

#[test]
fn the_schema_is_up_to_date() {
    let text = serde_json::to_string_pretty(&schema()).unwrap();
    compare("docs/config.schema.json", &(text + "\n"));
}

#[test]
fn the_schema_takes_what_is_read() {
    let schema = schema();
    for (_, yaml) in [alike::SPELLINGS, alike::TENSORS, alike::SERVING, alike::CARRIED].concat() {
        assert!(takes(&schema, &schema, &value(yaml)), "{yaml}");
        let written = parse("config.yaml", yaml).unwrap().to_json();
        assert!(takes(&schema, &schema, &written), "{written}");
    }
}

#[test]
fn the_schema_refuses_what_is_not_read() {
    let schema = schema();
    let texts = [
        "max_bacth_size: 8",
        "max_batch_size: -1",
        "max_batch_size: '8'",
        "max_batch_size: 8.5",
        "input: x",
        "input: {name: x, data_type: FLOAT}",
        "input: {name: x, dims: [-2]}",
        "input: [{name: x, optional: maybe}]",
        "output: {name: y, optional: true}",
        "instance_group: {kind: GPU}",
        "instance_group: {count: 1025}",
        "dynamic_batching: true",
        "dynamic_batching: {priority_queue_policy: {first: {}}}",
        "{dynamic_batching: {}, sequence_batching: {}}",
        "version_policy: newest",
        "version_policy: {latest: {}, all: {}}",
        "version_policy: {specific: {versions: [0]}}",
        "model_warmup: {inputs: {x: {zero_data: true, random_data: true}}}",
        "optimization: {graph: {level: high}}",
        "caller_runs: always",
        "version_labels: {stable: 0}",
        "traffic: {canary: 1}",
        "traffic: {1: many}",
        "shadow: -1",
        "swap: later",
        "[]",
    ];
    for text in texts {
        assert!(parse("config.yaml", text).is_err(), "{text}");
        assert!(!takes(&schema, &schema, &value(text)), "{text}");
    }
}

#[test]
fn choices_and_limits_of_the_grammar_are_those_that_are_read() {
    let mut count = 0;
    each(&CONFIG, &mut |field| {
        if let Kind::Choice(names) = field.kind {
            assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{}", field.name);
        }
        count += 1;
    });
    assert!(count > 150, "{count}");
}

/// Calls for every field of a message and of the messages in it.
fn each(message: &Message, call: &mut dyn FnMut(&Field)) {
    for field in message.fields {
        call(field);
        if let Kind::Message(inner) = field.kind {
            each(inner, call);
        }
    }
}

/// The names of the fields that are not served yet, without what lies in them.
fn not_yet() -> BTreeSet<String> {
    fn collect(message: &Message, of: &str, found: &mut BTreeSet<String>) {
        for field in message.fields {
            match field.kind {
                _ if field.state == State::NotYet => _ = found.insert(format!("{of}{}", field.name)),
                Kind::Message(inner) => {
                    // The same policy of a queue stands in several places.
                    let of = if field.name.ends_with("queue_policy") { "queue_policy" } else { field.name };
                    collect(inner, &format!("{of}."), found);
                }
                _ => {}
            }
        }
    }
    let mut found = BTreeSet::new();
    collect(&CONFIG, "", &mut found);
    found
}

const HEAD: &str = "\
# The fields of a config

What becomes of every field of Triton's `ModelConfig`, in `config.pbtxt`, `config.yaml` or `config.json` alike, and of
those that are our own. A test writes this table from the grammar that the parser goes by
(`INFERLAY_BLESS=1 cargo test --lib config::`).

- *honoured*: it does what it says.
- *honoured by the backend*: it is checked and handed to the backend, with the whole config, when it loads the model.
- *not yet*: it is checked and kept. A config that asks for it is served without it, and the log has a warning with line
  and column; a server that is `strict` refuses it. What lies in such a field is *not yet* with it.
- *ours*: it is honoured, and Triton does not know it.

A name with `[]` may stand several times, and one with `{}` holds keys of your own.

Ragged batches (`input[].allow_ragged_batch`, `batch_input[]`, `batch_output[]`) are made by the engine, whatever executes
the model: closures, pulled models, plugins, and the backends `null`, `tract` and `onnxruntime`. Of ONNX models only inputs
and outputs that are none of these tell whether a model batches, and a name that an exporter gave to the first dims of all
is not believed where it is not true (but for `onnxruntime` within graphs of nodes, or of more than 127 bytes, or in a
file that lies on disk beside its weights).

| Field | What it says | |
| --- | --- | --- |
";

fn table(message: &Message, path: &str, parent: Option<State>, rows: &mut String) {
    for field in message.fields {
        let mark = match field.times {
            Times::Once => "",
            Times::List => "[]",
            Times::Map | Times::NumberMap => "{}",
        };
        let (path, state) = (format!("{path}{}{mark}", field.name), state_within(parent, field.state));
        let told = match state {
            State::Served => "honoured",
            State::Backend => "honoured by the backend",
            State::NotYet => "not yet",
            State::Own => "ours",
        };
        *rows += &format!("| `{path}` | {} | {told} |\n", field.about);
        if let Kind::Message(inner) = field.kind {
            table(inner, &format!("{path}."), Some(state), rows);
        }
    }
}

/// What becomes of a field in a message of which that becomes.
fn state_within(parent: Option<State>, own: State) -> State {
    match (parent, own) {
        (Some(State::NotYet), _) | (_, State::NotYet) => State::NotYet,
        (Some(State::Own), _) => State::Own,
        _ => own,
    }
}

fn schema() -> Value {
    let mut defs = Defs::default();
    let mut schema = defs.object(&CONFIG, "config");
    let long = super::super::fields::DATA_TYPES[1..].iter().copied();
    let names = inferlay_backend_sdk::DataType::all().map(inferlay_backend_sdk::DataType::name);
    defs.schemas.insert("data_type".to_owned(), json!({ "enum": long.chain(names).collect::<Vec<_>>() }));
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("The config of a model of Inferlay");
    schema["$defs"] = Value::Object(defs.schemas);
    schema
}

/// The schemas of the messages, each once.
#[derive(Default)]
struct Defs {
    names: Vec<(*const Message, String)>,
    schemas: Map<String, Value>,
}

impl Defs {
    /// A reference to the schema of a message, which is named by the first field that holds it.
    fn message(&mut self, message: &'static Message, field: &str, parent: &str) -> Value {
        let known = self.names.iter().find(|(known, _)| std::ptr::eq(*known, message)).map(|(_, name)| name.clone());
        let name = known.unwrap_or_else(|| {
            let is_taken = self.schemas.contains_key(field);
            let name = if is_taken { format!("{parent}_{field}") } else { field.to_owned() };
            self.names.push((message, name.clone()));
            self.schemas.insert(name.clone(), Value::Null);
            let object = self.object(message, &name);
            self.schemas.insert(name.clone(), object);
            name
        });
        json!({ "$ref": format!("#/$defs/{name}") })
    }

    fn object(&mut self, message: &'static Message, name: &str) -> Value {
        let properties = message.fields.iter().map(|field| (field.name.to_owned(), self.property(field, name)));
        let properties: Map<_, _> = properties.collect();
        let mut object = json!({ "type": ["object", "null"], "additionalProperties": false, "properties": properties });
        let pairs = message.one_of.iter().enumerate().flat_map(|(at, one)| {
            message.one_of[at + 1..].iter().map(move |other| json!({ "not": { "required": [one, other] } }))
        });
        let pairs: Vec<_> = pairs.collect();
        if !pairs.is_empty() {
            object["allOf"] = Value::Array(pairs);
        }
        match message.short {
            Short::Nothing => object,
            Short::Words(words) => json!({ "anyOf": [object, { "enum": words }] }),
            Short::Text => json!({ "anyOf": [object, { "type": ["string", "number", "boolean"] }] }),
        }
    }

    fn property(&mut self, field: &'static Field, parent: &str) -> Value {
        let one = self.one(field, parent);
        let mut property = match field.times {
            Times::Once => one,
            Times::List => json!({ "anyOf": [{ "type": ["array", "null"], "items": one }, one] }),
            Times::Map => json!({ "type": ["object", "null"], "additionalProperties": one }),
            Times::NumberMap => {
                let names = json!({ "pattern": "^[0-9]+$" });
                json!({ "type": ["object", "null"], "additionalProperties": one, "propertyNames": names })
            }
        };
        property["description"] = json!(match field.state {
            State::NotYet => format!("{} Not served yet.", field.about),
            _ => field.about.to_owned(),
        });
        property
    }

    fn one(&mut self, field: &'static Field, parent: &str) -> Value {
        match field.kind {
            // A number or flag without quotes is text where text is expected.
            Kind::Text => json!({ "type": ["string", "number", "boolean", "null"] }),
            Kind::File => json!({ "type": ["string", "number"] }),
            Kind::Flag => json!({ "type": "boolean" }),
            Kind::Whole(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
            Kind::Int(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
            Kind::Real => json!({ "type": "number" }),
            Kind::Choice(names) => json!({ "enum": names }),
            Kind::DataType => json!({ "$ref": "#/$defs/data_type" }),
            Kind::Message(message) => self.message(message, field.name, parent),
        }
    }
}

/// Whether the schema at a place of the whole takes a value, as far as the keywords go that are used here.
fn takes(whole: &Value, schema: &Value, value: &Value) -> bool {
    let takes = |schema: &Value, value: &Value| takes(whole, schema, value);
    let all = |key: &str, takes: &dyn Fn(&Value) -> bool| schema.get(key).is_none_or(takes);
    let of = |own: &Value, name: &str| match name {
        "integer" => own.is_i64() || own.is_u64(),
        "number" => own.is_number(),
        "string" => own.is_string(),
        "boolean" => own.is_boolean(),
        "array" => own.is_array(),
        "object" => own.is_object(),
        _ => own.is_null(),
    };
    let number = |value: &Value| value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from));
    let list = |value: &Value| value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
    all("$ref", &|place| takes(whole.pointer(&place.as_str().unwrap()[1..]).unwrap(), value))
        && all("type", &|names| list(names).iter().any(|name| of(value, name.as_str().unwrap())))
        && all("enum", &|names| list(names).contains(value))
        && all("minimum", &|least| number(value).is_none_or(|own| own >= number(least).unwrap()))
        && all("maximum", &|most| number(value).is_none_or(|own| own <= number(most).unwrap()))
        && all("items", &|item| value.as_array().is_none_or(|items| items.iter().all(|own| takes(item, own))))
        && all("anyOf", &|any| list(any).iter().any(|schema| takes(schema, value)))
        && all("allOf", &|every| list(every).iter().all(|schema| takes(schema, value)))
        && all("not", &|not| !takes(not, value))
        && all("required", &|keys| list(keys).iter().all(|key| value.get(key.as_str().unwrap()).is_some()))
        && value
            .as_object()
            .is_none_or(|entries| entries.iter().all(|(key, own)| takes_entry(whole, schema, (key, own))))
}

fn takes_entry(whole: &Value, schema: &Value, (key, value): (&str, &Value)) -> bool {
    let is_number = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit());
    let is_named = schema.get("propertyNames").is_none() || is_number;
    let own = schema.get("properties").and_then(|properties| properties.get(key));
    is_named
        && match (own, schema.get("additionalProperties")) {
            (Some(own), _) => takes(whole, own, value),
            (None, Some(Value::Bool(others))) => *others,
            (None, Some(others)) => takes(whole, others, value),
            (None, None) => true,
        }
}

/// The value of a YAML text as an editor has it.
fn value(yaml: &str) -> Value {
    let source = std::sync::Arc::new(Source { file: String::new(), text: yaml.to_owned() });
    let mut report = Report::of_file(source, None);
    json_of(&tree::read(yaml, &mut report).unwrap())
}

fn json_of(node: &tree::Node) -> Value {
    match &node.value {
        tree::Value::List(items) => items.iter().map(json_of).collect(),
        tree::Value::Map(entries) => {
            entries.iter().map(|(key, value)| (key.name.to_string(), json_of(value))).collect::<Map<_, _>>().into()
        }
        tree::Value::Scalar { .. } if node.is_null() => Value::Null,
        tree::Value::Scalar { text, plain: true } => serde_json::from_str(text).unwrap_or_else(|_| json!(**text)),
        tree::Value::Scalar { text, .. } => json!(**text),
    }
}

/// Compares a committed file to what it should be, or writes it.
fn compare(file: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("INFERLAY_BLESS").is_some() {
        std::fs::write(&path, expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "{file} is out of date: run with INFERLAY_BLESS=1 to write it");
}
