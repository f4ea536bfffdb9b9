//! The header of the plugin ABI as far as it is frozen: structs with their fields, other types, and numbers.
//!
//! It reads what the generator writes, not C: comments on lines of their own, one declaration after the other.

/// A struct that is not opaque.
pub(crate) struct Struct {
    pub(crate) name: String,
    /// Name and whole declaration of each field, in order.
    pub(crate) fields: Vec<(String, String)>,
}

impl Struct {
    /// Whether it may grow at its end: it says how long it is.
    pub(crate) fn grows(&self) -> bool {
        self.fields.first().is_some_and(|(name, _)| name == "struct_size")
    }
}

/// What a header declares.
#[derive(Default)]
pub(crate) struct Header {
    pub(crate) structs: Vec<Struct>,
    /// Declarations of all other types: opaque structs, numbers, functions.
    pub(crate) types: Vec<String>,
    /// Names and values of what is defined as a number.
    pub(crate) constants: Vec<(String, String)>,
}

impl Header {
    pub(crate) fn new(text: &str) -> Header {
        let mut header = Header::default();
        let mut declared = String::new();
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
            if let Some((name, value)) = line.strip_prefix("#define ").and_then(|rest| rest.split_once(' ')) {
                if value.parse::<u64>().is_ok() {
                    header.constants.push((name.to_owned(), value.to_owned()));
                }
            } else if declared.is_empty() && !line.starts_with("typedef ") {
                continue;
            } else if !line.is_empty() {
                declared = format!("{declared}{line} ");
                let is_open = declared.matches('{').count() > declared.matches('}').count();
                if !is_open && line.ends_with(';') {
                    header.add(&std::mem::take(&mut declared));
                }
            }
        }
        header
    }

    /// Adds a whole declaration.
    fn add(&mut self, declared: &str) {
        let Some((_, rest)) = declared.split_once('{') else {
            return self.types.push(words(declared));
        };
        let (fields, name) = rest.rsplit_once('}').unwrap();
        let fields = fields.split(';').map(words).filter(|field| !field.is_empty());
        let fields = fields.map(|field| (field_name(&field).to_owned(), field)).collect();
        self.structs.push(Struct { name: name.trim_matches([';', ' ']).to_owned(), fields });
    }
}

/// A declaration with single spaces.
fn words(declared: &str) -> String {
    declared.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `now_ns` of `uint64_t (*now_ns)(...)`, `data` of `void *data`, `trace_id` of `uint8_t trace_id[16]`.
fn field_name(declared: &str) -> &str {
    let start = match declared.split_once("(*") {
        Some((_, rest)) => rest,
        None => declared.rsplit([' ', '*']).next().unwrap_or(declared),
    };
    start.split([')', '[']).next().unwrap_or(start)
}
