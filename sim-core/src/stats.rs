//! Statistics: a tree of named counters, histograms, ratios and breakdowns with units.
//!
//! Counters are summed, never averaged. A derived value is a ratio of two sums, so that it can be formed again after
//! summing. The order of everything is the order of declaration: reports are stable byte for byte.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

/// A node of the tree: a machine, a part, a component or a unit within it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StatsNode {
    name: String,
    values: Vec<(String, Stat)>,
    children: Vec<StatsNode>,
}

/// One named value.
#[derive(Clone, Debug, PartialEq)]
pub enum Stat {
    /// Something counted.
    Counter {
        /// How many.
        value: u64,
        /// Of what, e.g. `"bytes"`.
        unit: &'static str,
    },
    /// A distribution.
    Histogram(Histogram),
    /// `scale · numerator / denominator`, both names of counters of the same node.
    Ratio {
        /// Name of the counter above.
        numerator: String,
        /// Name of the counter below.
        denominator: String,
        /// Factor, for percentages and prefixes.
        scale: f64,
        /// Unit of the result.
        unit: &'static str,
    },
    /// Where a total went; the parts sum to it.
    Breakdown(Breakdown),
}

/// A total and its parts, which sum to it exactly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breakdown {
    /// Name of this part, or of the whole.
    pub name: String,
    /// Its amount.
    pub total: u64,
    /// Unit of all amounts, e.g. `"sub-core-cycles"`.
    pub unit: &'static str,
    /// Parts; empty for a leaf.
    pub parts: Vec<Breakdown>,
}

impl Breakdown {
    /// A part that is not divided further.
    pub fn leaf(name: impl Into<String>, total: u64, unit: &'static str) -> Breakdown {
        Breakdown { name: name.into(), total, unit, parts: Vec::new() }
    }

    /// A whole whose total is the sum of its parts.
    pub fn of(name: impl Into<String>, unit: &'static str, parts: Vec<Breakdown>) -> Breakdown {
        Breakdown { name: name.into(), total: parts.iter().map(|p| p.total).sum(), unit, parts }
    }

    /// From named amounts, e.g. of a [`crate::reasons::ReasonClock`].
    pub fn from_named<'n>(
        name: impl Into<String>,
        unit: &'static str,
        amounts: impl IntoIterator<Item = (&'n str, u64)>,
    ) -> Breakdown {
        Breakdown::of(name, unit, amounts.into_iter().map(|(n, t)| Breakdown::leaf(n, t, unit)).collect())
    }

    /// The first place where the parts do not sum to their whole, as (name, total, sum).
    pub fn mismatch(&self) -> Option<(&str, u64, u64)> {
        if self.parts.is_empty() {
            return None;
        }
        let sum = self.parts.iter().map(|p| p.total).sum();
        if sum != self.total {
            return Some((&self.name, self.total, sum));
        }
        self.parts.iter().find_map(Breakdown::mismatch)
    }

    /// Adds another breakdown part by part; parts are matched by name.
    pub fn add(&mut self, other: &Breakdown) {
        self.total += other.total;
        for part in &other.parts {
            match self.parts.iter_mut().find(|p| p.name == part.name) {
                Some(mine) => mine.add(part),
                None => self.parts.push(part.clone()),
            }
        }
    }
}

/// A distribution of 64-bit values: exact below 16, above in eight steps an octave (at most 12.5 % wide).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// Unit of the values.
    pub unit: &'static str,
    count: u64,
    sum: u128,
    min: u64,
    max: u64,
    buckets: Vec<u64>,
}

impl Histogram {
    /// An empty distribution of values in `unit`.
    pub fn new(unit: &'static str) -> Histogram {
        Histogram { unit, count: 0, sum: 0, min: u64::MAX, max: 0, buckets: Vec::new() }
    }

    fn bucket(value: u64) -> usize {
        if value < 16 {
            return value as usize;
        }
        let octave = 63 - value.leading_zeros() as usize;
        16 + (octave - 4) * 8 + ((value >> (octave - 3)) & 7) as usize
    }

    /// Smallest value of a bucket.
    fn floor_of(bucket: usize) -> u64 {
        if bucket < 16 {
            return bucket as u64;
        }
        let (octave, step) = ((bucket - 16) / 8 + 4, (bucket - 16) % 8);
        (8 + step as u64) << (octave - 3)
    }

    /// Adds one value.
    pub fn record(&mut self, value: u64) {
        self.record_n(value, 1);
    }

    /// Adds a value `n` times.
    pub fn record_n(&mut self, value: u64, n: u64) {
        if n == 0 {
            return;
        }
        let bucket = Self::bucket(value);
        if bucket >= self.buckets.len() {
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] += n;
        self.count += n;
        self.sum += u128::from(value) * u128::from(n);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// Number of values.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Arithmetic mean; zero without values.
    pub fn mean(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum as f64 / self.count as f64 }
    }

    /// Smallest value, if any.
    pub fn min(&self) -> Option<u64> {
        (self.count > 0).then_some(self.min)
    }

    /// Largest value, if any.
    pub fn max(&self) -> Option<u64> {
        (self.count > 0).then_some(self.max)
    }

    /// The value below which a share `q` of all lies, to the width of a bucket (its lower bound).
    pub fn quantile(&self, q: f64) -> Option<u64> {
        let wanted = ((self.count as f64 * q).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        for (bucket, n) in self.buckets.iter().enumerate() {
            seen += n;
            if *n > 0 && seen >= wanted {
                return Some(Self::floor_of(bucket).max(self.min));
            }
        }
        None
    }

    /// Adds all values of another distribution of the same unit.
    pub fn add(&mut self, other: &Histogram) {
        if other.buckets.len() > self.buckets.len() {
            self.buckets.resize(other.buckets.len(), 0);
        }
        self.buckets.iter_mut().zip(&other.buckets).for_each(|(mine, n)| *mine += n);
        self.count += other.count;
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }
}

crate::saved!(Histogram { state: count, sum, min, max, buckets; rebuilt: unit });

impl StatsNode {
    /// An empty node.
    pub fn new(name: impl Into<String>) -> StatsNode {
        StatsNode { name: name.into(), ..StatsNode::default() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The nodes below.
    pub fn children(&self) -> &[StatsNode] {
        &self.children
    }

    /// All values with their names.
    pub fn values(&self) -> &[(String, Stat)] {
        &self.values
    }

    fn put(&mut self, name: impl Into<String>, stat: Stat) {
        let name = name.into();
        debug_assert!(self.stat(&name).is_none(), "`{name}` is declared twice");
        self.values.push((name, stat));
    }

    /// Declares a counter.
    pub fn counter(&mut self, name: impl Into<String>, value: u64, unit: &'static str) {
        self.put(name, Stat::Counter { value, unit });
    }

    /// Declares a distribution.
    pub fn histogram(&mut self, name: impl Into<String>, histogram: &Histogram) {
        self.put(name, Stat::Histogram(histogram.clone()));
    }

    /// Declares `scale · numerator / denominator` of two counters of this node.
    pub fn ratio(
        &mut self,
        name: impl Into<String>,
        numerator: impl Into<String>,
        denominator: impl Into<String>,
        scale: f64,
        unit: &'static str,
    ) {
        let (numerator, denominator) = (numerator.into(), denominator.into());
        self.put(name, Stat::Ratio { numerator, denominator, scale, unit });
    }

    /// Declares a breakdown under its own name.
    ///
    /// # Panics
    /// If its parts do not sum to the whole: every cycle is accounted for.
    pub fn breakdown(&mut self, breakdown: Breakdown) {
        if let Some((name, total, sum)) = breakdown.mismatch() {
            panic!("breakdown `{name}` of {}: the parts sum to {sum}, the whole is {total}", self.name);
        }
        self.put(breakdown.name.clone(), Stat::Breakdown(breakdown));
    }

    /// The node of that name below, added at the end if it is new.
    pub fn child(&mut self, name: &str) -> &mut StatsNode {
        let i = self.children.iter().position(|c| c.name == name).unwrap_or_else(|| {
            self.children.push(StatsNode::new(name));
            self.children.len() - 1
        });
        &mut self.children[i]
    }

    /// The value of that name.
    pub fn stat(&self, name: &str) -> Option<&Stat> {
        self.values.iter().find(|(n, _)| n == name).map(|(_, s)| s)
    }

    /// The node at a path like `"sm.l1d"`.
    pub fn find(&self, path: &str) -> Option<&StatsNode> {
        path.split('.').filter(|s| !s.is_empty()).try_fold(self, |n, s| n.children.iter().find(|c| c.name == s))
    }

    /// A counter's value; the last step of the path is its name: `"sm.l1d.hits"`.
    pub fn value(&self, path: &str) -> Option<u64> {
        let (node, name) = path.rsplit_once('.').unwrap_or(("", path));
        match self.find(node)?.stat(name)? {
            Stat::Counter { value, .. } => Some(*value),
            _ => None,
        }
    }

    /// A breakdown by the path of its node and its name.
    pub fn breakdown_at(&self, path: &str) -> Option<&Breakdown> {
        let (node, name) = path.rsplit_once('.').unwrap_or(("", path));
        match self.find(node)?.stat(name)? {
            Stat::Breakdown(b) => Some(b),
            _ => None,
        }
    }

    /// The value of a ratio of this node; `None` if it is none or its denominator is zero.
    pub fn ratio_value(&self, name: &str) -> Option<f64> {
        let Stat::Ratio { numerator, denominator, scale, .. } = self.stat(name)? else { return None };
        let (above, below) = (self.value(numerator)?, self.value(denominator)?);
        (below > 0).then(|| scale * above as f64 / below as f64)
    }

    /// Adds another node of the same kind: counters, distributions and breakdowns are summed by name, ratios kept.
    pub fn add(&mut self, other: &StatsNode) {
        for (name, stat) in &other.values {
            let Some((_, mine)) = self.values.iter_mut().find(|(n, _)| n == name) else {
                self.values.push((name.clone(), stat.clone()));
                continue;
            };
            match (mine, stat) {
                (Stat::Counter { value, .. }, Stat::Counter { value: more, .. }) => *value += more,
                (Stat::Histogram(mine), Stat::Histogram(more)) => mine.add(more),
                (Stat::Breakdown(mine), Stat::Breakdown(more)) => mine.add(more),
                _ => {}
            }
        }
        for child in &other.children {
            self.child(&child.name).add(child);
        }
    }

    pub(crate) fn push_child(&mut self, child: StatsNode) {
        self.children.push(child);
    }
}

/// As a JSON object: values by name, then the nodes below by name.
impl Serialize for StatsNode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, stat) in &self.values {
            match stat {
                Stat::Ratio { unit, numerator, denominator, scale } => {
                    let formula = if *scale == 1.0 {
                        format!("{numerator} / {denominator}")
                    } else {
                        format!("{scale} * {numerator} / {denominator}")
                    };
                    map.serialize_entry(name, &RatioOut { value: self.ratio_value(name), unit, formula })?;
                }
                stat => map.serialize_entry(name, stat)?,
            }
        }
        for child in &self.children {
            map.serialize_entry(&child.name, child)?;
        }
        map.end()
    }
}

#[derive(Serialize)]
struct RatioOut<'a> {
    value: Option<f64>,
    unit: &'a str,
    formula: String,
}

impl Serialize for Stat {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Stat::Counter { value, unit } => {
                map.serialize_entry("value", value)?;
                map.serialize_entry("unit", unit)?;
            }
            Stat::Histogram(h) => {
                map.serialize_entry("count", &h.count)?;
                map.serialize_entry("unit", h.unit)?;
                map.serialize_entry("mean", &h.mean())?;
                for (name, value) in [("min", h.min()), ("max", h.max())] {
                    map.serialize_entry(name, &value)?;
                }
                for (name, q) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)] {
                    map.serialize_entry(name, &h.quantile(q))?;
                }
                let buckets: Vec<(u64, u64)> = (h.buckets.iter().enumerate())
                    .filter(|(_, n)| **n > 0)
                    .map(|(b, n)| (Histogram::floor_of(b), *n))
                    .collect();
                map.serialize_entry("buckets_from_count", &buckets)?;
            }
            Stat::Ratio { numerator, denominator, unit, .. } => {
                map.serialize_entry("formula", &format!("{numerator} / {denominator}"))?;
                map.serialize_entry("unit", unit)?;
            }
            Stat::Breakdown(b) => {
                map.serialize_entry("total", &b.total)?;
                map.serialize_entry("unit", b.unit)?;
                map.serialize_entry("parts", &Parts(&b.parts))?;
            }
        }
        map.end()
    }
}

struct Parts<'a>(&'a [Breakdown]);

impl Serialize for Parts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for part in self.0 {
            if part.parts.is_empty() {
                map.serialize_entry(&part.name, &part.total)?;
            } else {
                map.serialize_entry(&part.name, &Nested(part))?;
            }
        }
        map.end()
    }
}

struct Nested<'a>(&'a Breakdown);

impl Serialize for Nested<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("total", &self.0.total)?;
        map.serialize_entry("parts", &Parts(&self.0.parts))?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_sum_forms_its_ratios_again() {
        let mut cache = StatsNode::new("l2");
        for (hits, accesses) in [(1, 2), (9, 10)] {
            let mut slice = StatsNode::new("l2");
            slice.counter("hits", hits, "accesses");
            slice.counter("accesses", accesses, "accesses");
            slice.ratio("hit_rate", "hits", "accesses", 100.0, "%");
            cache.add(&slice);
        }
        assert_eq!(cache.value("hits"), Some(10));
        assert!((cache.ratio_value("hit_rate").unwrap() - 100.0 * 10.0 / 12.0).abs() < 1e-12);
    }

    #[test]
    fn json_keeps_the_order_of_declaration() {
        let mut node = StatsNode::new("machine");
        node.counter("z", 1, "bytes");
        node.counter("a", 2, "bytes");
        let parts = [("issue", 3), ("idle", 4)];
        node.child("sm").breakdown(Breakdown::from_named("cycles", "cycles", parts));
        let json = serde_json::to_string(&node).unwrap();
        assert_eq!(
            json,
            r#"{"z":{"value":1,"unit":"bytes"},"a":{"value":2,"unit":"bytes"},"sm":{"cycles":{"total":7,"unit":"cycles","parts":{"issue":3,"idle":4}}}}"#
        );
        assert_eq!(node.breakdown_at("sm.cycles").unwrap().total, 7);
    }

    #[test]
    #[should_panic(expected = "the parts sum to 3, the whole is 4")]
    fn a_breakdown_that_does_not_sum_is_refused() {
        let parts = vec![Breakdown::leaf("issue", 3, "cycles")];
        StatsNode::new("sm").breakdown(Breakdown { name: "cycles".into(), total: 4, unit: "cycles", parts });
    }

    proptest! {
        #[test]
        fn a_bucket_holds_its_values(value in any::<u64>()) {
            let bucket = Histogram::bucket(value);
            prop_assert!(Histogram::floor_of(bucket) <= value);
            prop_assert!(bucket == Histogram::bucket(u64::MAX) || Histogram::floor_of(bucket + 1) > value);
        }

        #[test]
        fn a_quantile_is_a_value_to_the_width_of_a_bucket(mut values in prop::collection::vec(0_u64..100_000, 1..200)) {
            let mut h = Histogram::new("cycles");
            values.iter().for_each(|v| h.record(*v));
            values.sort_unstable();
            let median = values[(values.len() - 1) / 2];
            let got = h.quantile(0.5).unwrap();
            prop_assert!(got <= median && median - got <= got / 8 + 1, "{} for {}", got, median);
        }
    }
}
