//! The JSON of configs, as far as it must be read where nothing may be depended on: the texts and truths in it.
//!
//! What is no JSON, or is nested deeper than any config, is read as nothing. Pure; any thread.

/// A value; numbers, `false` and `null` are told apart by nobody.
#[derive(Debug, PartialEq)]
pub(crate) enum Json {
    True,
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
    Other,
}

const DEPTH_MAX: usize = 64;

impl Json {
    /// The value that a text holds.
    pub(crate) fn read(text: &str) -> Json {
        let mut reader = Reader { rest: text };
        reader.value(DEPTH_MAX).filter(|_| reader.trimmed().is_empty()).unwrap_or(Json::Other)
    }

    /// The value under a key of an object.
    pub(crate) fn at(&self, key: &str) -> &Json {
        let Json::Object(pairs) = self else { return &Json::Other };
        pairs.iter().find(|(name, _)| name == key).map_or(&Json::Other, |(_, value)| value)
    }

    /// The items of a list; a value that is none counts as one of one item, as it does in a config.
    pub(crate) fn items(&self) -> &[Json] {
        match self {
            Json::List(items) => items,
            Json::Other => &[],
            one => std::slice::from_ref(one),
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        if let Json::Text(text) = self { Some(text) } else { None }
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn trimmed(&mut self) -> &'a str {
        self.rest = self.rest.trim_ascii_start();
        self.rest
    }

    /// Whether `token` comes next; it is passed by.
    fn takes(&mut self, token: &str) -> bool {
        let rest = self.trimmed().strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn value(&mut self, depth: usize) -> Option<Json> {
        let depth = depth.checked_sub(1)?;
        if self.takes("{") {
            return self.list("}", |reader| Some((reader.pair_key()?, reader.value(depth)?))).map(Json::Object);
        }
        if self.takes("[") {
            return self.list("]", |reader| reader.value(depth)).map(Json::List);
        }
        if self.takes("\"") {
            return self.text().map(Json::Text);
        }
        if self.takes("true") {
            return Some(Json::True);
        }
        let is_of_it = |letter: char| letter.is_ascii_alphanumeric() || "+-.".contains(letter);
        let end = self.rest.find(|letter| !is_of_it(letter)).unwrap_or(self.rest.len());
        self.rest = &self.rest[end..];
        (end > 0).then_some(Json::Other)
    }

    fn pair_key(&mut self) -> Option<String> {
        let key = if self.takes("\"") { self.text() } else { None };
        key.filter(|_| self.takes(":"))
    }

    /// Items with commas between them, up to the `end`.
    fn list<T>(&mut self, end: &str, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let mut items = Vec::new();
        if self.takes(end) {
            return Some(items);
        }
        loop {
            items.push(item(self)?);
            if self.takes(end) {
                return Some(items);
            }
            self.takes(",").then_some(())?;
        }
    }

    /// A text, from behind its first quotation mark.
    fn text(&mut self) -> Option<String> {
        let mut text = String::new();
        loop {
            let end = self.rest.find(['"', '\\'])?;
            text.push_str(&self.rest[..end]);
            let is_over = self.rest[end..].starts_with('"');
            self.rest = &self.rest[end + 1..];
            if is_over {
                return Some(text);
            }
            text.push(self.escaped()?);
        }
    }

    fn escaped(&mut self) -> Option<char> {
        let letter = self.rest.chars().next()?;
        self.rest = &self.rest[letter.len_utf8()..];
        Some(match letter {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let unit = self.unit()?;
                // The second half of a letter beyond 16 bits follows as another escape.
                let rest = (0xd800..0xdc00).contains(&unit) && self.rest.starts_with("\\u");
                self.rest = if rest { &self.rest[2..] } else { self.rest };
                let units = [Some(unit), if rest { self.unit() } else { None }];
                char::decode_utf16(units.into_iter().flatten()).next()?.ok()?
            }
            other => other,
        })
    }

    fn unit(&mut self) -> Option<u16> {
        let (digits, rest) = self.rest.split_at_checked(4)?;
        self.rest = rest;
        u16::from_str_radix(digits, 16).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_truths_lists_and_objects_are_read_and_the_rest_is_passed_by() {
        let read = Json::read(r#" {"a": [1, -2.5e+3, null, true, "x"], "b": {"c": {}, "d": false}, "e": []} "#);
        assert_eq!(read.at("a").items()[3], Json::True);
        assert_eq!(read.at("a").items()[4].text(), Some("x"));
        assert_eq!(read.at("b").at("c"), &Json::Object(Vec::new()));
        assert_eq!((read.at("b").at("d"), read.at("e").items().len()), (&Json::Other, 0));
    }

    #[test]
    fn what_is_escaped_is_read_as_it_was_meant() {
        let read = Json::read(r#""a\"\\\/\n\t\b\f\r\u00e9\ud83d\ude00é""#);
        assert_eq!(read.text(), Some("a\"\\/\n\t\u{8}\u{c}\ré😀é"));
    }

    #[test]
    fn what_is_no_json_is_nothing() {
        let deep = "[".repeat(100_000);
        let broken = ["", "{", "{\"a\"}", "[1 2]", "[1,]", "\"a", "\"\\u12\"", "\"\\ud800\"", "{} {}", "\"\\ué", &deep];
        for text in broken {
            assert_eq!(Json::read(text), Json::Other, "{}", &text[..text.len().min(9)]);
        }
    }
}
