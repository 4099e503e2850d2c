//! The published rules of the SM: every case of `validation/suites/sm-examples`, and what breaks when a rule is broken.

mod common;

use gpu::sm::spec::{Policy, Reservation, ReuseCache};

#[test]
fn every_published_case_holds() {
    let (misses, cases) = common::misses(|_| {});
    assert!(misses.is_empty(), "{} of {cases} cases:\n{}", misses.len(), misses.join("\n"));
    assert!(cases > 300);
}

/// Cases that no longer hold when a rule is changed, by program.
fn broken(change: impl Fn(&mut gpu::sm::SmSpec)) -> Vec<String> {
    let (misses, _) = common::misses(change);
    let mut programs: Vec<String> =
        misses.iter().filter_map(|miss| miss.split(' ').next().map(str::to_owned)).collect();
    programs.dedup();
    programs
}

#[test]
fn early_reservation_of_read_ports_breaks_measured_windows() {
    let programs = broken(|spec| spec.register_file.reservation = Reservation::Early);
    // The specification counts nine measured windows that as-early-as-possible misses: these.
    let expected = [
        "a_rfc_no_reuse",
        "a_rfc_same_slot_hit",
        "a_rfc_different_slot",
        "a_rfc_other_bank_2",
        "a_rfc_same_bank_2",
        "a_rfc_consume",
        "a_rfc_retain",
        "a_rfc_other_bank",
        "a_rfc_same_bank",
    ];
    assert_eq!(programs, expected);
}

#[test]
fn a_register_file_cache_that_is_never_cleared_breaks_its_windows() {
    let programs = broken(|spec| spec.register_file.reuse_cache = ReuseCache::NeverCleared);
    for program in ["a_rfc_consume", "a_rfc_same_bank", "p_listing4_ex1", "p_listing4_ex4"] {
        assert!(programs.iter().any(|broken| broken == program), "{program} still holds: {programs:?}");
    }
}

#[test]
fn without_register_file_cache_no_hit_shows() {
    let programs = broken(|spec| spec.register_file.reuse_cache = ReuseCache::None);
    for program in ["a_rfc_same_slot_hit", "a_rfc_retain"] {
        assert!(programs.iter().any(|broken| broken == program), "{program} still holds: {programs:?}");
    }
}

#[test]
fn a_counter_that_rises_one_cycle_late_lets_a_waiter_escape() {
    let programs = broken(|spec| spec.issue.counter_increment_cycles = 2);
    for program in ["a_counter_visible_s02", "a_counter_visible_y_s01"] {
        assert!(programs.iter().any(|broken| broken == program), "{program} still holds: {programs:?}");
    }
}

#[test]
fn greedy_then_oldest_breaks_the_scheduler_figures() {
    let programs = broken(|spec| spec.issue.policy = Policy::GreedyThenOldest);
    for program in ["p_figure4b", "p_figure4c", "a_cggty_13_warps"] {
        assert!(programs.iter().any(|broken| broken == program), "{program} still holds: {programs:?}");
    }
}

#[test]
fn one_credit_more_or_less_breaks_table_1() {
    for credits in [4, 6] {
        let programs = broken(|spec| spec.memory.queue_credits = credits);
        for subcores in 1..=4 {
            let program = format!("p_table1_{subcores}_subcores");
            assert!(programs.contains(&program), "{program} holds with {credits} credits: {programs:?}");
        }
    }
}

#[test]
fn sm_120_with_one_class_of_alu_operations_breaks_its_distances() {
    let programs = broken(|spec| {
        spec.fixed_latency.alu_compare = None;
        spec.fixed_latency.alu.alu_compare = None;
    });
    // What is kept apart by 5 can then be read after 4.
    for program in ["x_alu_to_alu_compare_4", "x_alu_compare_to_alu_4", "x_alu_compare_to_alu_compare_4"] {
        assert!(programs.iter().any(|broken| broken == program), "{program} still holds: {programs:?}");
    }
}
