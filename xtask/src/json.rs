//! Just enough JSON to read what cargo and the benchmarks print. Pure.

use std::iter::Peekable;
use std::str::Chars;

/// How deep lists and objects may nest; what we read needs less than ten.
const DEPTH_MAX: usize = 64;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// The value of a field; `None` for what is no object too.
    pub(crate) fn field(&self, name: &str) -> Option<&Json> {
        let Json::Object(fields) = self else { return None };
        fields.iter().find(|(found, _)| found == name).map(|(_, value)| value)
    }

    /// The text of a field.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        match self.field(name) {
            Some(Json::Text(text)) => Some(text),
            _ => None,
        }
    }
}

/// Reads one value, with white space around it.
pub(crate) fn parse(text: &str) -> Result<Json, String> {
    let mut reader = Reader { rest: text.chars().peekable() };
    let value = reader.value(0)?;
    reader.skip();
    match reader.rest.next() {
        None => Ok(value),
        Some(more) => Err(format!("json: found `{more}` after the end")),
    }
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Result<Json, String> {
        if depth > DEPTH_MAX {
            return Err(format!("json: nested deeper than {DEPTH_MAX}"));
        }
        self.skip();
        match self.rest.peek() {
            Some('{') => {
                let field = |reader: &mut Self| {
                    reader.skip();
                    let name = reader.string()?;
                    reader.skip();
                    reader.expect(':')?;
                    Ok((name, reader.value(depth + 1)?))
                };
                self.sequence('{', '}', field).map(Json::Object)
            }
            Some('[') => self.sequence('[', ']', |reader| reader.value(depth + 1)).map(Json::List),
            Some('"') => self.string().map(Json::Text),
            _ => self.word(),
        }
    }

    fn sequence<T>(
        &mut self,
        open: char,
        close: char,
        item: impl Fn(&mut Self) -> Result<T, String>,
    ) -> Result<Vec<T>, String> {
        self.expect(open)?;
        let mut items = Vec::new();
        self.skip();
        if self.rest.next_if_eq(&close).is_some() {
            return Ok(items);
        }
        loop {
            items.push(item(self)?);
            self.skip();
            match self.rest.next() {
                Some(',') => {}
                Some(found) if found == close => return Ok(items),
                found => return Err(format!("json: found {found:?}, expected `,` or `{close}`")),
            }
        }
    }

    fn string(&mut self) -> Result<String, String> {
        self.expect('"')?;
        let mut text = String::new();
        loop {
            match self.rest.next() {
                Some('"') => return Ok(text),
                Some('\\') => text.push(self.escape()?),
                Some(plain) => text.push(plain),
                None => return Err("json: a string without an end".to_owned()),
            }
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        match self.rest.next() {
            Some(same @ ('"' | '\\' | '/')) => Ok(same),
            Some('n') => Ok('\n'),
            Some('t') => Ok('\t'),
            Some('r') => Ok('\r'),
            Some('b') => Ok('\u{8}'),
            Some('f') => Ok('\u{c}'),
            Some('u') => {
                let digits: String = self.rest.by_ref().take(4).collect();
                let code = u32::from_str_radix(&digits, 16).map_err(|_| format!("json: found `\\u{digits}`"))?;
                // Halves of a surrogate pair do not matter in what we read.
                Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))
            }
            found => Err(format!("json: found {found:?} after a backslash")),
        }
    }

    /// A number or one of the three constants.
    fn word(&mut self) -> Result<Json, String> {
        let mut word = String::new();
        while let Some(c) = self.rest.next_if(|c| c.is_ascii_alphanumeric() || ['-', '+', '.'].contains(c)) {
            word.push(c);
        }
        match word.as_str() {
            "null" => Ok(Json::Null),
            "true" => Ok(Json::Bool(true)),
            "false" => Ok(Json::Bool(false)),
            number if number.starts_with(|c: char| c.is_ascii_digit() || c == '-') => {
                number.parse().map(Json::Number).map_err(|_| format!("json: found `{number}`, expected a number"))
            }
            found => Err(format!("json: found `{found}`, expected a value")),
        }
    }

    fn expect(&mut self, wanted: char) -> Result<(), String> {
        match self.rest.next() {
            Some(found) if found == wanted => Ok(()),
            found => Err(format!("json: found {found:?}, expected `{wanted}`")),
        }
    }

    fn skip(&mut self) {
        while self.rest.next_if(|c| c.is_ascii_whitespace()).is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_every_kind_are_read() {
        let json = parse(r#" {"a": [1, -2.5e3, true, null], "b": {"c": "x\n\"\u00e9"}, "d": [], "e": {}} "#).unwrap();
        let list = vec![Json::Number(1.0), Json::Number(-2500.0), Json::Bool(true), Json::Null];
        assert_eq!(json.field("a"), Some(&Json::List(list)));
        assert_eq!(json.field("b").and_then(|b| b.text("c")), Some("x\n\"é"));
        assert_eq!(json.field("d"), Some(&Json::List(Vec::new())));
        assert_eq!(json.field("nothing"), None);
    }

    #[test]
    fn what_is_not_json_is_refused() {
        let deep = "[".repeat(100_000);
        for text in ["", "{", "[1,]", "{\"a\"}", "\"", "\"\\q\"", "inf", "NaN", "1 2", "-", "{,}", deep.as_str()] {
            assert!(parse(text).is_err(), "{}", &text[..text.len().min(20)]);
        }
    }
}
