//! Error statistics over pairs (reference, ours).
//!
//! Every statistic is one function with its formula; the tests compare with published worked examples.

/// One reference value with our value for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    pub reference: f64,
    pub ours: f64,
}

impl Pair {
    /// `100 × (ours − reference) ÷ |reference|`; none for a reference of zero, where a relative error has no meaning.
    pub fn error_percent(&self) -> Option<f64> {
        (self.reference != 0.0).then(|| 100.0 * (self.ours - self.reference) / self.reference.abs())
    }

    /// `ours − reference`, in the unit of both.
    pub fn difference(&self) -> f64 {
        self.ours - self.reference
    }
}

/// Arithmetic mean; none of nothing.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The value below which `share` (0 to 1) of the values lie, with linear interpolation between neighbours: definition 7 of
/// Hyndman and Fan, "Sample Quantiles in Statistical Packages" (1996), the default of R and NumPy.
pub fn quantile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = share.clamp(0.0, 1.0) * sorted.len().checked_sub(1)? as f64;
    let below = rank.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    Some(sorted[below] + (rank - rank.floor()) * (sorted[above] - sorted[below]))
}

/// Mean absolute percentage error over the pairs that have a relative error.
pub fn mape_percent(pairs: &[Pair]) -> Option<f64> {
    mean(&absolute_errors_percent(pairs))
}

/// Mean signed percentage error: above zero, we are too high on average.
pub fn bias_percent(pairs: &[Pair]) -> Option<f64> {
    mean(&pairs.iter().filter_map(Pair::error_percent).collect::<Vec<_>>())
}

/// |error| in percent of each pair that has one.
pub fn absolute_errors_percent(pairs: &[Pair]) -> Vec<f64> {
    pairs.iter().filter_map(Pair::error_percent).map(f64::abs).collect()
}

/// Pearson's correlation coefficient between reference and ours: covariance ÷ product of standard deviations. None for
/// fewer than two pairs or when either side does not vary.
pub fn pearson(pairs: &[Pair]) -> Option<f64> {
    let mean_reference = mean(&pairs.iter().map(|p| p.reference).collect::<Vec<_>>())?;
    let mean_ours = mean(&pairs.iter().map(|p| p.ours).collect::<Vec<_>>())?;
    let (mut covariance, mut variance_reference, mut variance_ours) = (0.0, 0.0, 0.0);
    for pair in pairs {
        let (a, b) = (pair.reference - mean_reference, pair.ours - mean_ours);
        covariance += a * b;
        variance_reference += a * a;
        variance_ours += b * b;
    }
    let scale = (variance_reference * variance_ours).sqrt();
    (pairs.len() > 1 && scale > 0.0).then(|| covariance / scale)
}

/// Kendall's rank correlation with the correction for ties, tau-b: `(P − Q) ÷ √((P + Q + T) × (P + Q + U))` with P
/// concordant pairs, Q discordant ones, T tied in the reference alone, U tied in ours alone. None when either side is all
/// ties.
pub fn kendall_tau_b(pairs: &[Pair]) -> Option<f64> {
    use std::cmp::Ordering::Equal;
    let (mut concordant, mut discordant, mut tied_reference, mut tied_ours) = (0u64, 0u64, 0u64, 0u64);
    for (i, a) in pairs.iter().enumerate() {
        for b in &pairs[i + 1..] {
            match (a.reference.total_cmp(&b.reference), a.ours.total_cmp(&b.ours)) {
                (Equal, Equal) => {}
                (Equal, _) => tied_reference += 1,
                (_, Equal) => tied_ours += 1,
                (x, y) if x == y => concordant += 1,
                _ => discordant += 1,
            }
        }
    }
    let ranked = concordant + discordant;
    let scale = ((ranked + tied_reference) as f64 * (ranked + tied_ours) as f64).sqrt();
    (scale > 0.0).then(|| (concordant as f64 - discordant as f64) / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(reference: &[f64], ours: &[f64]) -> Vec<Pair> {
        assert_eq!(reference.len(), ours.len());
        reference.iter().zip(ours).map(|(&reference, &ours)| Pair { reference, ours }).collect()
    }

    #[track_caller]
    fn close(got: Option<f64>, want: f64, tolerance: f64) {
        let got = got.expect("the statistic exists");
        assert!((got - want).abs() <= tolerance, "got {got}, want {want} ± {tolerance}");
    }

    /// scikit-learn user guide, `mean_absolute_percentage_error([3, -0.5, 2, 7], [2.5, 0.0, 2, 8])`: 0.3273…
    /// The bias of the same four is (−1/6 + 1 + 0 + 1/7) ÷ 4.
    #[test]
    fn mape_and_bias_of_the_scikit_learn_example() {
        let data = pairs(&[3.0, -0.5, 2.0, 7.0], &[2.5, 0.0, 2.0, 8.0]);
        close(mape_percent(&data), 32.738_095_238, 1e-8);
        close(bias_percent(&data), 100.0 * (-1.0 / 6.0 + 1.0 + 1.0 / 7.0) / 4.0, 1e-9);
    }

    #[test]
    fn a_reference_of_zero_has_no_relative_error() {
        let data = pairs(&[0.0, 10.0], &[5.0, 11.0]);
        close(mape_percent(&data), 10.0, 1e-12);
        assert_eq!(data[0].error_percent(), None);
        assert_eq!(data[0].difference(), 5.0);
    }

    /// "Percentile", Wikipedia, worked example of the linear interpolation between closest ranks, second variant (that of
    /// spreadsheets): the 40th percentile of {15, 20, 35, 40, 50} is 29.
    #[test]
    fn quantile_of_the_percentile_example() {
        let data = [35.0, 15.0, 50.0, 20.0, 40.0];
        close(quantile(&data, 0.4), 29.0, 1e-12);
        close(quantile(&data, 0.5), 35.0, 0.0);
        close(quantile(&data, 0.0), 15.0, 0.0);
        close(quantile(&data, 1.0), 50.0, 0.0);
        assert_eq!(quantile(&[], 0.5), None);
    }

    /// NIST/SEMATECH e-Handbook 7.2.6.2: twelve gauge measurements; with the rank 1 + p(N − 1) the 90th percentile is
    /// 95.1957.
    #[test]
    fn p90_of_the_nist_gauge_measurements() {
        let gauge = [
            95.1772, 95.1567, 95.1937, 95.1959, 95.1442, 95.0610, 95.1591, 95.1195, 95.1065, 95.0925, 95.1990, 95.1682,
        ];
        close(quantile(&gauge, 0.9), 95.1957, 5e-5);
    }

    /// F. J. Anscombe, "Graphs in Statistical Analysis" (1973): set I has a correlation of 0.816 (0.81642 to five digits).
    #[test]
    fn pearson_of_anscombe_set_one() {
        let x = [10.0, 8.0, 13.0, 9.0, 11.0, 14.0, 6.0, 4.0, 12.0, 7.0, 5.0];
        let y = [8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68];
        close(pearson(&pairs(&x, &y)), 0.81642, 5e-6);
        assert_eq!(pearson(&pairs(&[1.0, 1.0], &[1.0, 2.0])), None);
        assert_eq!(pearson(&pairs(&[1.0], &[2.0])), None);
    }

    /// SciPy reference, `scipy.stats.kendalltau([12, 2, 1, 12, 2], [1, 4, 7, 1, 0])`: −0.47140452079103173.
    #[test]
    fn kendall_of_the_scipy_example() {
        let data = pairs(&[12.0, 2.0, 1.0, 12.0, 2.0], &[1.0, 4.0, 7.0, 1.0, 0.0]);
        close(kendall_tau_b(&data), -0.471_404_520_791_031_73, 1e-15);
        assert_eq!(kendall_tau_b(&pairs(&[1.0, 1.0], &[1.0, 2.0])), None);
        close(kendall_tau_b(&pairs(&[1.0, 2.0, 3.0], &[10.0, 20.0, 30.0])), 1.0, 0.0);
    }
}
