//! Shapes of schedules, by their due times.

use super::*;

const SECOND: u64 = 1_000_000_000;

fn constant(messages_per_s: f64, lane: u64, lanes: u64, quota: u64) -> Schedule {
    let mut schedule = Schedule::new(lane, lanes, quota);
    schedule.start(Pace::Constant(Rate::per_second(messages_per_s)), 10 * SECOND, 20 * SECOND);
    schedule
}

#[test]
fn lanes_take_turns_at_the_common_rate() {
    let mut due: Vec<u64> = Vec::new();
    for lane in 0..4 {
        let mut schedule = constant(1000.0, lane, 4, u64::MAX);
        while let Some(at) = schedule.take(11 * SECOND - 1) {
            due.push(at);
        }
    }
    due.sort_unstable();
    assert_eq!(due.len(), 1000);
    for (turn, at) in due.iter().enumerate() {
        assert_eq!(*at, 10 * SECOND + turn as u64 * 1_000_000);
    }
}

#[test]
fn a_stall_does_not_move_what_was_due() {
    let mut schedule = constant(1000.0, 0, 1, u64::MAX);
    assert_eq!(schedule.take(10 * SECOND), Some(10 * SECOND));
    // Nobody asked for a second: the next is still due 1 ms after the first, not a second later.
    assert_eq!(schedule.take(11 * SECOND), Some(10 * SECOND + 1_000_000));
}

#[test]
fn nothing_is_due_early_or_after_the_end() {
    let mut schedule = constant(1.0, 0, 1, u64::MAX);
    assert_eq!(schedule.take(10 * SECOND - 1), None);
    assert!(!schedule.is_over(10 * SECOND));
    let taken = std::iter::from_fn(|| schedule.take(100 * SECOND)).count();
    assert_eq!(taken, 10, "one a second from 10 s up to, not including, 20 s");
    assert!(schedule.is_over(100 * SECOND));
}

#[test]
fn the_quota_ends_it() {
    let mut schedule = constant(1000.0, 0, 1, 3);
    assert_eq!(std::iter::from_fn(|| schedule.take(20 * SECOND)).count(), 3);
    assert!(schedule.is_over(0));
}

#[test]
fn an_odd_rate_does_not_drift() {
    let mut schedule = constant(3.0, 0, 1, u64::MAX);
    assert_eq!(schedule.upcoming_ns(27), Some(19 * SECOND));
}

#[test]
fn as_fast_as_possible_is_due_when_asked() {
    let mut schedule = Schedule::new(0, 1, 2);
    assert_eq!(schedule.take(5), None, "not started");
    schedule.start(Pace::AsFastAsPossible, 10, 20);
    assert_eq!(schedule.take(12), Some(12));
    assert_eq!(schedule.take(20), None, "the end is not part of the run");
    assert!(schedule.is_over(20) && !schedule.is_over(19));
}

#[test]
fn abandoning_counts_what_was_due() {
    let mut schedule = constant(1000.0, 0, 1, u64::MAX);
    assert_eq!(schedule.abandon(10 * SECOND + 4_500_000), 5);
    assert!(schedule.is_over(10 * SECOND));
}

fn drain(schedules: &mut [Schedule], until_ns: u64) -> Vec<u64> {
    let mut due: Vec<u64> = schedules.iter_mut().flat_map(|schedule| std::iter::from_fn(|| schedule.take(until_ns))).collect();
    due.sort_unstable();
    due
}

#[test]
fn random_arrivals_have_the_mean_and_the_variance_of_a_poisson_process() {
    const RATE: f64 = 10_000.0;
    const SECONDS: u64 = 10;
    let pace = Pace::Poisson { rate: Rate::per_second(RATE), seed: 42 };
    let mut lanes: Vec<Schedule> = (0..7).map(|lane| Schedule::new(lane, 7, u64::MAX)).collect();
    lanes.iter_mut().for_each(|lane| lane.start(pace, SECOND, (1 + SECONDS) * SECOND));
    let due = drain(&mut lanes, u64::MAX);
    // The count has a standard deviation of its square root, 316: five of them.
    let expected = RATE * SECONDS as f64;
    assert!((due.len() as f64 - expected).abs() < 5.0 * expected.sqrt(), "{}", due.len());
    assert!(due[0] >= SECOND && *due.last().unwrap() < (1 + SECONDS) * SECOND);
    // Distances of the lanes together are exponential: their standard deviation is their mean.
    let gaps: Vec<f64> = due.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
    assert!((0.98..1.02).contains(&(mean * RATE / 1e9)), "{mean}");
    assert!((0.95..1.05).contains(&(variance.sqrt() / mean)), "{}", variance.sqrt() / mean);
    // And counts per 10 ms have the variance of their mean.
    let mut counts = vec![0f64; (SECONDS * 100) as usize];
    due.iter().for_each(|at| counts[((at - SECOND) / 10_000_000) as usize] += 1.0);
    let mean = counts.iter().sum::<f64>() / counts.len() as f64;
    let variance = counts.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / counts.len() as f64;
    assert!((0.8..1.2).contains(&(variance / mean)), "{variance} for a mean of {mean}");
}

#[test]
fn a_seed_repeats_and_looking_ahead_changes_nothing() {
    let pace = |seed| Pace::Poisson { rate: Rate::per_second(1000.0), seed };
    let run = |seed, ahead| {
        let mut schedule = Schedule::new(0, 1, 100);
        schedule.start(pace(seed), 0, u64::MAX);
        let far = schedule.upcoming_ns(ahead);
        let due = drain(std::slice::from_mut(&mut schedule), u64::MAX);
        assert!(far.is_none() || far == Some(due[ahead as usize]));
        due
    };
    assert_eq!(run(1, 0), run(1, 60));
    assert_ne!(run(1, 0), run(2, 0));
    assert_eq!(run(1, 1000).len(), 100, "the quota holds");
}

#[test]
fn bursts_come_whole_and_on_time() {
    let pace = Pace::Bursts { messages: 10, period_ns: SECOND };
    let mut lanes: Vec<Schedule> = (0..4).map(|lane| Schedule::new(lane, 4, u64::MAX)).collect();
    lanes.iter_mut().for_each(|lane| lane.start(pace, SECOND, 4 * SECOND));
    let due = drain(&mut lanes, u64::MAX);
    let expected: Vec<u64> = (1..4).flat_map(|burst| [burst * SECOND; 10]).collect();
    assert_eq!(due, expected, "ten at each second from 1 s up to, not including, 4 s");
}

#[test]
fn a_new_start_forgets_what_the_old_one_owed() {
    let mut schedule = Schedule::new(0, 1, 5);
    schedule.start(Pace::Constant(Rate::per_second(10.0)), 0, SECOND);
    assert_eq!(schedule.take(SECOND), Some(0));
    schedule.start(Pace::Poisson { rate: Rate::per_second(10.0), seed: 1 }, 5 * SECOND, 1000 * SECOND);
    let due = drain(std::slice::from_mut(&mut schedule), u64::MAX);
    assert!(due.len() == 5 && due[0] >= 5 * SECOND, "the quota begins again: {due:?}");
}

#[test]
fn an_early_end_holds_for_every_shape() {
    for pace in [
        Pace::AsFastAsPossible,
        Pace::Constant(Rate::per_second(10.0)),
        Pace::Poisson { rate: Rate::per_second(10.0), seed: 1 },
        Pace::Bursts { messages: 1, period_ns: SECOND / 10 },
    ] {
        let mut schedule = Schedule::new(0, 1, u64::MAX);
        schedule.start(pace, 0, 100 * SECOND);
        schedule.end_at(SECOND);
        if schedule.is_paced() {
            assert!(drain(std::slice::from_mut(&mut schedule), u64::MAX).iter().all(|at| *at < SECOND), "{pace:?}");
        }
        assert!(schedule.is_over(SECOND) && schedule.take(SECOND).is_none(), "{pace:?}");
    }
}
