//! Every fuzz target takes its corpus and a bounded number of inputs near it without a panic.

use rand_core::SeedableRng;
use rand_pcg::Pcg64Dxsm;
use xtask::fuzz::{TARGETS, mutate};

#[test]
fn targets_take_their_corpus() {
    for target in &TARGETS {
        let corpus = target.corpus().unwrap();
        assert!(corpus.len() >= 3, "{} has {} inputs", target.name, corpus.len());
        corpus.iter().for_each(|input| (target.run)(input));
    }
}

#[test]
fn targets_take_mutations() {
    for target in &TARGETS {
        // Small inputs: most of what can go wrong shows in them, and many fit into the time of a test.
        let mut corpus = target.corpus().unwrap();
        corpus.retain(|input| input.len() < 30_000);
        let mut random = Pcg64Dxsm::seed_from_u64(7);
        for _ in 0..400 {
            (target.run)(&mutate::mutated(&corpus, &mut random));
        }
    }
}
