//! Text that a spreadsheet takes for text.
//!
//! Whoever opens a table in a spreadsheet has cells computed that begin like a formula, and some that only
//! look so once white space is left out or wide characters are narrowed. Ids and coupons may be a stranger's.

use std::borrow::Cow;

/// How the cells of a table hold text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Cells {
    /// As it is, for programs.
    #[default]
    Exact,
    /// With an apostrophe before what might be a formula, for people.
    Safe,
}

impl Cells {
    /// What a cell of this text holds. Numbers of the service's own stay as they are: they do not go
    /// through here.
    pub fn text(self, text: &str) -> Cow<'_, str> {
        if self == Self::Safe && may_be_formula(text) {
            Cow::Owned(format!("'{text}"))
        } else {
            Cow::Borrowed(text)
        }
    }
}

fn may_be_formula(text: &str) -> bool {
    let starts_a_cell = text.starts_with(['\t', '\r', '\n']);
    starts_a_cell || text.trim_start_matches(is_left_out).starts_with(STARTS)
}

/// What formulas begin with; behind the first four the same in other widths.
const STARTS: [char; 13] = ['=', '+', '-', '@', '＝', '＋', '－', '＠', '﹦', '﹢', '﹣', '﹫', '−'];

/// What may stand before a formula without being seen.
fn is_left_out(character: char) -> bool {
    let is_invisible = matches!(
        character,
        '\u{AD}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}'
    );
    is_invisible || character.is_whitespace() || character.is_control()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_like_a_formula_is_told_to_be_text() {
        for text in [
            "=HYPERLINK(\"http://x\",\"y\")",
            "=",
            "+1+1",
            "-2+3",
            "-5",
            "@SUM(A1)",
            "=cmd|' /C calc'!A0",
            "\tx",
            "\rx",
            "\nx",
            "  =1+1",
            "\u{a0}=1",
            "\u{feff}=1",
            "\u{200b}@a",
            " \u{1}+1",
            "＝1",
            "＋1",
            "－1",
            "＠a",
            "﹦1",
        ] {
            assert_eq!(Cells::Safe.text(text), format!("'{text}"), "{text:?}");
            assert_eq!(Cells::Exact.text(text), text);
        }
    }

    #[test]
    fn other_text_stays_as_it_is() {
        for text in ["", "ORD-1", "1-2", "a=b", "'=1", " x", "{\"a\":\"=1\"}", "evt_01", "12.30", "ünïcode"]
        {
            assert!(matches!(Cells::Safe.text(text), Cow::Borrowed(same) if same == text), "{text:?}");
        }
    }
}
