//! The table's axes: each part of what is signed, filled in rightly or with a mistake.

use std::borrow::Cow;

use super::finding::Finding;

/// One way to fill in a part, and the mistakes that it takes.
#[derive(Debug)]
pub struct Variant<'a> {
    /// What the part then is.
    pub value: Cow<'a, [u8]>,
    /// None where it is right.
    pub mistakes: Vec<Finding>,
}

/// All ways to fill in one part, the right one first.
#[derive(Debug)]
pub struct Axis<'a>(Vec<Variant<'a>>);

impl<'a> Axis<'a> {
    /// The right way alone.
    pub fn new(right: impl Into<Cow<'a, [u8]>>) -> Self {
        Self(vec![Variant { value: right.into(), mistakes: Vec::new() }])
    }

    /// Adds a mistaken way, unless it gives what an earlier one gives: the first that explains a
    /// value is the simplest.
    pub fn or(&mut self, value: impl Into<Cow<'a, [u8]>>, mistakes: Vec<Finding>) {
        let value = value.into();
        if self.0.iter().all(|known| known.value != value) {
            self.0.push(Variant { value, mistakes });
        }
    }

    /// The ways, the right one first.
    pub fn iter(&self) -> impl Iterator<Item = &Variant<'a>> {
        self.0.iter()
    }
}

/// Something to be signed, and the mistakes that it takes.
#[derive(Debug)]
pub struct Message<'x> {
    /// The bytes, in pieces: bodies are not copied.
    pub parts: Vec<Cow<'x, [u8]>>,
    /// None where it is right.
    pub mistakes: Vec<&'x Finding>,
}

/// Every filling of the axes that takes no more than so many mistakes.
pub fn fillings<'x, 'a>(axes: &[&'x Axis<'a>], mistakes_max: usize) -> Vec<Vec<&'x Variant<'a>>> {
    let mut all: Vec<Vec<&Variant<'_>>> = vec![Vec::with_capacity(axes.len())];
    for axis in axes {
        let mut longer = Vec::new();
        for chosen in &all {
            let spent: usize = chosen.iter().map(|variant| variant.mistakes.len()).sum();
            for variant in axis.iter().filter(|variant| spent + variant.mistakes.len() <= mistakes_max) {
                let mut filling = chosen.clone();
                filling.push(variant);
                longer.push(filling);
            }
        }
        all = longer;
    }
    all
}

/// The mistakes of a filling.
pub fn mistakes_of<'x>(filling: &[&'x Variant<'_>]) -> Vec<&'x Finding> {
    filling.iter().flat_map(|variant| &variant.mistakes).collect()
}
