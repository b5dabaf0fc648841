//! Named values of an event or input, in the order in which people read them.

use std::fmt::Display;

use domain::model::Release;
use domain::name::Digest;
use domain::time::Timestamp;

use crate::view::NamedText;

#[derive(Debug, Default)]
pub(super) struct Values(Vec<NamedText>);

impl Values {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn with(mut self, name: &str, value: impl Display) -> Self {
        self.0.push(NamedText { name: name.to_owned(), value: value.to_string() });
        self
    }

    pub(super) fn maybe(self, name: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// A number with as many digits as tell something; nothing when it is not finite.
    pub(super) fn number(self, name: &str, value: Option<f64>) -> Self {
        self.maybe(name, value.filter(|value| value.is_finite()).map(number))
    }

    pub(super) fn release(self, name: &str, release: Option<&Release>) -> Self {
        let Some(release) = release else { return self };
        self.with(name, &release.version).with(&format!("{name}_bundle"), release.bundle)
    }

    pub(super) fn digest(self, name: &str, digest: &Digest) -> Self {
        self.with(name, digest)
    }

    pub(super) fn at(self, name: &str, at: Option<Timestamp>) -> Self {
        self.maybe(name, at)
    }

    pub(super) fn list(self) -> Vec<NamedText> {
        self.0
    }
}

/// Six significant digits, without trailing zeros.
pub(super) fn number(value: f64) -> String {
    if value == 0.0 || (value.fract() == 0.0 && value.abs() < 1e15) {
        return format!("{value:.0}");
    }
    let places = (5 - value.abs().log10().floor() as i32).clamp(0, 12) as usize;
    let text = format!("{value:.places$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_are_short_and_lose_little() {
        for (value, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (-3.0, "-3"),
            (0.012_345_678, "0.0123457"),
            (0.5, "0.5"),
            (1234.5678, "1234.57"),
            (123_456.7, "123457"),
            (1e-20, "0"),
            (10_000.0, "10000"),
            (0.1 + 0.2, "0.3"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
