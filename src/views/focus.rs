//! Which SMs and warps a view shows.

use std::ops::Range;
use std::str::FromStr;

/// `sm=0..4,warp=8`; what is not named is left to the view.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Focus {
    pub sms: Option<Range<u32>>,
    /// Warp slots of each SM.
    pub warps: Option<Range<u16>>,
}

impl Focus {
    /// Whether a warp slot is shown.
    pub fn shows_warp(&self, slot: u16) -> bool {
        self.warps.as_ref().is_none_or(|warps| warps.contains(&slot))
    }
}

impl FromStr for Focus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut focus = Self::default();
        for part in text.split(',') {
            let (key, range) = part.split_once('=').ok_or_else(|| format!("`{part}` is not of the form sm=0..4"))?;
            match key.trim() {
                "sm" if focus.sms.is_none() => focus.sms = Some(numbers(range)?),
                "warp" if focus.warps.is_none() => focus.warps = Some(numbers(range)?),
                key @ ("sm" | "warp") => return Err(format!("`{key}` is given twice")),
                key => return Err(format!("`{key}` is neither sm nor warp; an example is sm=0..4,warp=8")),
            }
        }
        Ok(focus)
    }
}

/// `3`, or `0..4` without its end.
fn numbers<N: FromStr + PartialOrd + Copy + Into<u32> + TryFrom<u32>>(text: &str) -> Result<Range<N>, String> {
    let number = |digits: &str| {
        digits.trim().parse::<N>().map_err(|_| format!("`{text}` is neither a number nor a range such as 0..4"))
    };
    let (from, to) = match text.split_once("..") {
        Some((from, to)) => (number(from)?, number(to)?),
        None => {
            let only = number(text)?;
            let after = N::try_from(only.into().saturating_add(1)).map_err(|_| format!("`{text}` is too large"))?;
            (only, after)
        }
    };
    if from < to { Ok(from..to) } else { Err(format!("the range {text} is empty")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_single_numbers() {
        let focus = |text: &str| text.parse::<Focus>();
        assert_eq!(focus("sm=0..4,warp=8"), Ok(Focus { sms: Some(0..4), warps: Some(8..9) }));
        assert_eq!(focus("warp=1..3"), Ok(Focus { sms: None, warps: Some(1..3) }));
        assert!(focus("warp=1..3").unwrap().shows_warp(2) && !focus("warp=1..3").unwrap().shows_warp(3));
        assert!(Focus::default().shows_warp(63));
    }

    #[test]
    fn wrong_ones_say_what_would_be_right() {
        for (text, part) in [
            ("", "of the form sm=0..4"),
            ("sm", "of the form sm=0..4"),
            ("core=1", "neither sm nor warp"),
            ("sm=x", "such as 0..4"),
            ("sm=4..4", "is empty"),
            ("sm=1,sm=2", "given twice"),
            ("warp=65536", "such as 0..4"),
            ("warp=65535", "too large"),
        ] {
            let message = text.parse::<Focus>().unwrap_err();
            assert!(message.contains(part), "{text}: {message}");
        }
    }
}
