//! The options of a backend as the host writes them: a JSON object of strings. Pure.

use crate::Error;
use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

/// Reads `{"name": "value", …}`; nothing at all stands for no options.
///
/// # Errors
/// `INVALID_ARG` for anything else.
pub(super) fn read(text: &str) -> Result<BTreeMap<String, String>, Error> {
    let mut rest = text.chars().peekable();
    let mut options = BTreeMap::new();
    if next(&mut rest).is_none() {
        return Ok(options);
    }
    expect(&mut rest, '{')?;
    if next(&mut rest) != Some('}') {
        loop {
            let name = string(&mut rest)?;
            expect(&mut rest, ':')?;
            options.insert(name, string(&mut rest)?);
            if next(&mut rest) != Some(',') {
                break;
            }
            expect(&mut rest, ',')?;
        }
    }
    expect(&mut rest, '}')?;
    match next(&mut rest) {
        None => Ok(options),
        Some(found) => Err(refused(Some(found), "the end")),
    }
}

/// What comes next, behind any space.
fn next(rest: &mut Peekable<Chars<'_>>) -> Option<char> {
    while rest.next_if(|c| c.is_ascii_whitespace()).is_some() {}
    rest.peek().copied()
}

fn expect(rest: &mut Peekable<Chars<'_>>, wanted: char) -> Result<(), Error> {
    match next(rest) {
        Some(found) if found == wanted => {
            rest.next();
            Ok(())
        }
        found => Err(refused(found, &format!("'{wanted}'"))),
    }
}

fn string(rest: &mut Peekable<Chars<'_>>) -> Result<String, Error> {
    expect(rest, '"')?;
    let mut text = String::new();
    loop {
        match rest.next() {
            Some('"') => return Ok(text),
            Some('\\') => text.push(escaped(rest)?),
            Some(c) if !c.is_control() => text.push(c),
            found => return Err(refused(found, "a character or '\"'")),
        }
    }
}

fn escaped(rest: &mut Peekable<Chars<'_>>) -> Result<char, Error> {
    match rest.next() {
        Some(c @ ('"' | '\\' | '/')) => Ok(c),
        Some('b') => Ok('\u{8}'),
        Some('f') => Ok('\u{c}'),
        Some('n') => Ok('\n'),
        Some('r') => Ok('\r'),
        Some('t') => Ok('\t'),
        Some('u') => {
            let high = unit(rest)?;
            let pair = match high {
                0xd800..0xdc00 if rest.next() == Some('\\') && rest.next() == Some('u') => vec![high, unit(rest)?],
                _ => vec![high],
            };
            let read = char::decode_utf16(pair).next().and_then(Result::ok);
            read.ok_or_else(|| Error::invalid_arg("options: found half of a character"))
        }
        found => Err(refused(found, "an escape")),
    }
}

fn unit(rest: &mut Peekable<Chars<'_>>) -> Result<u16, Error> {
    let digits: String = rest.by_ref().take(4).collect();
    u16::from_str_radix(&digits, 16).map_err(|_| Error::invalid_arg(format!("options: found '\\u{digits}'")))
}

fn refused(found: Option<char>, expected: &str) -> Error {
    let found = found.map_or("the end".to_owned(), |found| format!("'{}'", found.escape_debug()));
    Error::invalid_arg(format!("options: found {found}, expected {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_an_object_of_strings() {
        let pairs = |text: &str| read(text).unwrap().into_iter().collect::<Vec<_>>();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(pairs(""), []);
        assert_eq!(pairs(" { } "), []);
        assert_eq!(pairs("{\"a\":\"1\" , \"b\": \"\"}"), [pair("a", "1"), pair("b", "")]);
        assert_eq!(pairs(r#"{"a\"\\\/\n": "\u00e9\ud83d\ude00é"}"#), [pair("a\"\\/\n", "é😀é")]);
    }

    #[test]
    fn anything_else_is_refused() {
        let texts = [
            "{",
            "}",
            "[]",
            "{\"a\"}",
            "{\"a\":1}",
            "{\"a\":\"1\",}",
            "{\"a\":\"1\"}x",
            "{\"a\":\"1",
            "{\"\\x\":\"\"}",
            "{\"a\":\"\\ud800\"}",
            "{\"a\":\"\\u12\"}",
            "{\"a\":\"\n\"}",
        ];
        for text in texts {
            let error = read(text).unwrap_err();
            assert!(error.message().starts_with("options: found "), "{text}: {error}");
        }
    }
}
