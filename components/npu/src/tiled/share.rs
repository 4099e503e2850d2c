//! Max-min fair shares of bandwidth.
//!
//! Flows take bytes at one rate from every resource on their way and never more than their own cap. All rates rise
//! together; a flow stops at its cap, and all flows of a resource stop when it is full. What stops last has the most that it
//! can have without taking from one that has less.
//!
//! Sources: max-min fairness by filling (Bertsekas and Gallager, Data Networks, section 6.5.2). Equal bursts served in
//! turn converge to it as bursts get small.

/// What one task asks for.
#[derive(Debug, Clone, Copy)]
pub struct Flow<'a> {
    /// Bytes a picosecond that it moves alone.
    pub cap: f64,
    /// Numbers of the resources on its way.
    pub resources: &'a [u32],
}

/// Share of its cap that each flow gets, from 0 to 1; exactly 1 where nothing holds it back.
pub fn max_min(flows: &[Flow<'_>], bandwidths: &[f64], shares: &mut Vec<f64>) {
    shares.clear();
    shares.resize(flows.len(), 1.0);
    let mut left: Vec<f64> = bandwidths.to_vec();
    let mut open: Vec<usize> = Vec::with_capacity(flows.len());
    for (index, flow) in flows.iter().enumerate() {
        if flow.cap > 0.0 && flow.resources.iter().any(|resource| bandwidths[*resource as usize].is_finite()) {
            open.push(index);
        }
    }
    let mut users = vec![0_u32; bandwidths.len()];
    while !open.is_empty() {
        users.fill(0);
        for &index in &open {
            flows[index].resources.iter().for_each(|resource| users[*resource as usize] += 1);
        }
        // The level at which the first resource is full if all open flows rise to it.
        let full = |resource: usize| {
            if users[resource] > 0 { left[resource] / f64::from(users[resource]) } else { f64::INFINITY }
        };
        let level = (0..left.len()).map(full).fold(f64::INFINITY, f64::min);
        let capped = open.iter().any(|index| flows[*index].cap <= level);
        let tight: Vec<bool> = (0..left.len()).map(|resource| full(resource) <= level).collect();
        open.retain(|&index| {
            let flow = &flows[index];
            // As long as caps lie below the level they are served first: they leave more to the others.
            let rate = match capped {
                true if flow.cap <= level => flow.cap,
                false if flow.resources.iter().any(|resource| tight[*resource as usize]) => level,
                _ => return true,
            };
            shares[index] = if capped { 1.0 } else { rate / flow.cap };
            for resource in flow.resources {
                let left = &mut left[*resource as usize];
                *left = (*left - rate).max(0.0);
            }
            false
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shares(flows: &[Flow<'_>], bandwidths: &[f64]) -> Vec<f64> {
        let mut shares = Vec::new();
        max_min(flows, bandwidths, &mut shares);
        shares
    }

    #[test]
    fn two_that_want_more_than_there_is_halve_it() {
        let flow = Flow { cap: 8.0, resources: &[0] };
        assert_eq!(shares(&[flow, flow], &[8.0]), [0.5, 0.5]);
        assert_eq!(shares(&[flow, flow], &[16.0]), [1.0, 1.0]);
        assert_eq!(shares(&[flow, flow], &[f64::INFINITY]), [1.0, 1.0]);
    }

    /// The example of Bertsekas and Gallager, figure 6.16 in small: one flow over both links, one on each; the tight link
    /// halves, the other gives the rest to its own flow.
    #[test]
    fn what_one_cannot_use_goes_to_the_other() {
        let long = Flow { cap: 10.0, resources: &[0, 1] };
        let on_first = Flow { cap: 10.0, resources: &[0] };
        let on_second = Flow { cap: 10.0, resources: &[1] };
        assert_eq!(shares(&[long, on_first, on_second], &[4.0, 10.0]), [0.2, 0.2, 0.8]);
        let small = Flow { cap: 1.0, resources: &[0] };
        assert_eq!(shares(&[small, on_first], &[4.0, 1.0]), [1.0, 0.3]);
    }

    proptest! {
        #[test]
        fn nothing_is_overdrawn_and_nobody_can_have_more(
            caps in proptest::collection::vec((0.1_f64..10.0, 0_u32..7), 1..12),
            bandwidths in proptest::array::uniform3(0.5_f64..20.0),
        ) {
            let sets: Vec<Vec<u32>> = caps.iter().map(|(_, set)| (0..3).filter(|r| set >> r & 1 == 1).collect()).collect();
            let flows: Vec<Flow<'_>> =
                caps.iter().zip(&sets).map(|((cap, _), set)| Flow { cap: *cap, resources: set }).collect();
            let shares = shares(&flows, &bandwidths);
            let used = |r: u32| -> f64 {
                flows.iter().zip(&shares).filter(|(f, _)| f.resources.contains(&r)).map(|(f, s)| f.cap * s).sum()
            };
            for r in 0..3 {
                prop_assert!(used(r) <= bandwidths[r as usize] * (1.0 + 1e-9));
            }
            for (flow, share) in flows.iter().zip(&shares) {
                prop_assert!((0.0..=1.0).contains(share));
                // Either it has all it wants, or a full resource on its way where nobody has more.
                let rate = flow.cap * share;
                let bottleneck = flow.resources.iter().any(|r| {
                    used(*r) >= bandwidths[*r as usize] * (1.0 - 1e-9)
                        && flows.iter().zip(&shares).filter(|(f, _)| f.resources.contains(r))
                            .all(|(f, s)| f.cap * s <= rate * (1.0 + 1e-9))
                });
                prop_assert!(*share == 1.0 || bottleneck);
            }
        }
    }
}
