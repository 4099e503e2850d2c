//! The nearest name, for "did you mean".

/// Edits (insertion, deletion, substitution, exchange of neighbours) that make `b` out of `a`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

/// The known name nearest to `wrong`, if one is near enough to be meant.
pub fn nearest<'k>(wrong: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let known: Vec<&str> = known.into_iter().collect();
    let best = known.iter().map(|k| (distance(wrong, k), *k)).min()?;
    if best.0 <= 1 + wrong.chars().count() / 3 {
        return Some(best.1);
    }
    // A name that lacks its unit, or has one too many.
    let long_enough = |part: &str| part.chars().count() >= 3;
    known
        .into_iter()
        .filter(|k| (k.contains(wrong) && long_enough(wrong)) || (wrong.contains(*k) && long_enough(k)))
        .min_by_key(|k| (k.len().abs_diff(wrong.len()), *k))
}

/// "did you mean `x`?", or the list of what there is.
pub fn did_you_mean<'k>(wrong: &str, known: impl IntoIterator<Item = &'k str>) -> Option<String> {
    let mut known: Vec<&str> = known.into_iter().collect();
    known.sort_unstable();
    known.dedup();
    if let Some(near) = nearest(wrong, known.iter().copied()) {
        return Some(format!("did you mean `{near}`?"));
    }
    match known.len() {
        0 => None,
        1..=12 => Some(format!("known: {}", known.join(", "))),
        n => Some(format!("known: {}, … ({n} in all)", known[..12].join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_nonsense_is_not() {
        let known = ["count", "clock", "capacity_kib", "latency_cycles"];
        assert_eq!(nearest("cuont", known), Some("count"));
        assert_eq!(nearest("latency", known), Some("latency_cycles"));
        assert_eq!(nearest("xyzzy", known), None);
        assert_eq!(did_you_mean("xyzzy", ["b", "a"]).unwrap(), "known: a, b");
    }
}
