use super::pace::{REST as SETTLE, REST_AT_MOST as SETTLE_AT_MOST, TEMPORARY};
use super::*;
use crate::error::Kind;
use crate::remote::RemoteError;

fn ino(number: u64) -> Ino {
    Ino(number)
}

/// Everything that may run now, as it is taken.
fn take(queue: &Queue) -> Vec<u64> {
    queue.inner.lock().take_due().into_iter().map(|(ino, _)| ino.0).collect()
}

#[test]
fn what_failed_is_tried_again_when_somebody_asks() {
    let queue = Queue::default();
    queue.inner.lock().hurry();
    queue.changed(ino(1));
    queue.changed(ino(2));
    assert_eq!(take(&queue), [1, 2]);
    queue.finish(ino(1), Err(&refusal()), 1);
    queue.finish(ino(2), Ok(Outcome::Settled), 0);
    assert!(take(&queue).is_empty(), "not before its time");
    assert_eq!(queue.inner.lock().hasten_failed(), 1);
    assert_eq!(take(&queue), [1]);
    assert_eq!(queue.inner.lock().hasten_failed(), 0);
    assert!(take(&queue).is_empty());
}

fn refusal() -> WritebackError {
    RemoteError::new(Kind::Denied, "files.create", "no permission").into()
}

#[tokio::test(start_paused = true)]
async fn an_entry_rests_before_it_is_sent_but_not_for_ever() {
    let queue = Queue::default();
    let mut waited = Duration::ZERO;
    queue.changed(ino(1));
    while take(&queue).is_empty() {
        tokio::time::advance(Duration::from_millis(100)).await;
        waited += Duration::from_millis(100);
        queue.changed(ino(1));
    }
    assert!(waited >= SETTLE && waited <= SETTLE_AT_MOST + Duration::from_millis(100), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn no_more_than_so_many_run_and_the_rest_keeps_its_turn() {
    let queue = Queue::default();
    for number in 0..100 {
        queue.recovered(ino(number));
    }
    let first = take(&queue);
    assert_eq!(first.len(), AT_ONCE);
    assert!(take(&queue).is_empty());
    queue.finish(ino(first[0]), Ok(Outcome::Settled), 0);
    assert_eq!(take(&queue).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_its_turn_to_be_uploaded_keeps_nothing_else_from_being_sent() {
    let queue = Queue::default();
    for number in 0..1000 {
        queue.recovered(ino(number));
    }
    let first = take(&queue);
    let parked: Vec<_> = first.iter().map(|&number| Parked::new(&queue, ino(number))).collect();
    assert_eq!(take(&queue).len(), AT_ONCE);
    assert!(take(&queue).is_empty());
    drop(parked);
    assert!(take(&queue).is_empty(), "they run again");
}

#[tokio::test(start_paused = true)]
async fn who_waits_runs_when_the_other_was_sent_and_not_when_it_failed() {
    let queue = Queue::default();
    queue.recovered(ino(1));
    assert_eq!(take(&queue), [1]);
    queue.finish(ino(1), Ok(Outcome::Wait(ino(2))), 0);
    assert_eq!(take(&queue), [2], "so that there is somebody to wait for");
    queue.finish(ino(2), Err(&refusal()), 1);
    assert!(take(&queue).is_empty());
    assert!(queue.inner.lock().is_hopeless(ino(1)));
    queue.inner.lock().hasten(ino(1));
    assert_eq!(take(&queue), [2]);
    queue.finish(ino(2), Ok(Outcome::Settled), 0);
    assert_eq!(take(&queue), [1]);
}

#[tokio::test(start_paused = true)]
async fn nothing_runs_round_in_a_circle_behind_one_that_is_idle() {
    let queue = Queue::default();
    queue.recovered(ino(1));
    take(&queue);
    queue.finish(ino(1), Ok(Outcome::Wait(ino(2))), 0);
    take(&queue);
    queue.finish(ino(2), Ok(Outcome::Idle), 0);
    assert!(take(&queue).is_empty());
    queue.changed(ino(2));
    tokio::time::advance(SETTLE).await;
    assert_eq!(take(&queue), [2]);
    queue.finish(ino(2), Ok(Outcome::Settled), 0);
    assert_eq!(take(&queue), [1]);
}

#[tokio::test(start_paused = true)]
async fn of_those_that_wait_for_each_other_the_one_is_looked_at_again() {
    let queue = Queue::default();
    for number in 1..=3 {
        queue.recovered(ino(number));
    }
    take(&queue);
    queue.finish(ino(1), Ok(Outcome::Wait(ino(2))), 0);
    queue.finish(ino(2), Ok(Outcome::Wait(ino(3))), 0);
    assert!(take(&queue).is_empty());
    // What the first one waits for is over since it looked.
    queue.finish(ino(3), Ok(Outcome::Wait(ino(1))), 0);
    assert_eq!(take(&queue), [1]);
    queue.finish(ino(1), Ok(Outcome::Settled), 0);
    assert_eq!(take(&queue), [3]);
    queue.finish(ino(3), Ok(Outcome::Settled), 0);
    assert_eq!(take(&queue), [2]);
}

#[tokio::test(start_paused = true)]
async fn a_later_save_never_overtakes_the_first_one_under_way() {
    let queue = Queue::default();
    queue.recovered(ino(1));
    take(&queue);
    // 2 takes over from 1, then 3 from 2.
    queue.follow(ino(2), ino(1));
    queue.follow(ino(3), ino(2));
    queue.recovered(ino(2));
    queue.recovered(ino(3));
    assert!(take(&queue).is_empty());
    assert_eq!(queue.inner.lock().next(), None, "and nothing spins");
    queue.finish(ino(1), Ok(Outcome::Settled), 0);
    assert_eq!(take(&queue), [2, 3]);
}

#[tokio::test(start_paused = true)]
async fn hopelessness_is_seen_through_all_who_wait() {
    let queue = Queue::default();
    for number in 1..=3 {
        queue.recovered(ino(number));
    }
    take(&queue);
    queue.finish(ino(3), Ok(Outcome::Wait(ino(2))), 0);
    queue.finish(ino(2), Ok(Outcome::Wait(ino(1))), 0);
    assert!(!queue.inner.lock().is_hopeless(ino(3)));
    queue.finish(ino(1), Err(&refusal()), 1);
    assert!(queue.inner.lock().is_hopeless(ino(3)));
    assert!(queue.inner.lock().failure(ino(3)).is_some());
}

/// Sends an entry, which takes so long.
async fn upload(queue: &Queue, number: u64, size: u64, takes: Duration) {
    assert_eq!(take(queue), [number]);
    tokio::time::advance(takes).await;
    queue.uploaded(ino(number), size);
    queue.finish(ino(number), Ok(Outcome::Settled), 0);
}

/// After how long an entry is due that changed just now.
async fn wait_of(queue: &Queue) -> Duration {
    let start = Instant::now();
    let next = queue.inner.lock().next().expect("something is scheduled");
    tokio::time::advance(next - start).await;
    next - start
}

#[tokio::test(start_paused = true)]
async fn a_file_that_grows_while_it_is_open_takes_a_quarter_of_the_line_at_most() {
    let interval = Duration::from_secs(30);
    let queue = Queue::new(interval);
    let grown = |size| queue.changed_so(ino(1), Change::Grown { size, open: true });
    grown(100);
    assert_eq!(wait_of(&queue).await, SETTLE, "nothing is known of it");
    upload(&queue, 1, 100, Duration::from_secs(1)).await;
    grown(110);
    assert_eq!(wait_of(&queue).await, Duration::from_secs(29), "an interval after it began");
    upload(&queue, 1, 110, Duration::from_secs(20)).await;
    for more in 0..10 {
        grown(200 + more);
        assert!(queue.inner.lock().held_back(ino(1)).is_some(), "and status says so");
    }
    assert_eq!(wait_of(&queue).await, Duration::from_mins(1), "three times what it took");
    upload(&queue, 1, 210, Duration::from_secs(20)).await;
    grown(220);
    queue.inner.lock().hasten(ino(1));
    assert_eq!(take(&queue), [1], "unless somebody waits for it");
}

#[tokio::test(start_paused = true)]
async fn a_log_that_is_opened_for_each_line_is_held_back_for_an_interval_at_most() {
    let interval = Duration::from_secs(30);
    let queue = Queue::new(interval);
    let grown = |size| queue.changed_so(ino(1), Change::Grown { size, open: false });
    queue.recovered(ino(1));
    upload(&queue, 1, 1000, Duration::from_secs(5)).await;
    grown(1050);
    assert_eq!(wait_of(&queue).await, Duration::from_secs(15));
    upload(&queue, 1, 1050, Duration::from_mins(5)).await;
    grown(1060);
    grown(1090);
    assert_eq!(wait_of(&queue).await, interval);
    upload(&queue, 1, 1090, Duration::from_secs(5)).await;
    grown(2000);
    assert_eq!(wait_of(&queue).await, SETTLE, "much of it is new");
    upload(&queue, 1, 2000, Duration::from_secs(5)).await;
    grown(2001);
    queue.changed(ino(1));
    assert_eq!(wait_of(&queue).await, SETTLE, "it was not only appended to");
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_closed_waits_no_longer_than_one_that_was_closed_all_the_time() {
    let queue = Queue::new(Duration::from_mins(10));
    queue.recovered(ino(1));
    upload(&queue, 1, 1000, Duration::from_secs(1)).await;
    queue.changed_so(ino(1), Change::Grown { size: 1010, open: true });
    queue.closed(ino(1));
    assert_eq!(wait_of(&queue).await, Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_file_with_a_temporary_name_is_held_back_until_it_is_renamed() {
    let queue = Queue::default();
    queue.changed_so(ino(1), Change::Temporary);
    tokio::time::advance(TEMPORARY / 2).await;
    assert!(take(&queue).is_empty());
    queue.changed(ino(1));
    assert_eq!(wait_of(&queue).await, SETTLE);
    assert_eq!(take(&queue), [1]);
    queue.finish(ino(1), Ok(Outcome::Settled), 0);
    queue.changed_so(ino(1), Change::Temporary);
    assert_eq!(wait_of(&queue).await, TEMPORARY, "and not for ever");
}

#[tokio::test(start_paused = true)]
async fn under_a_deadline_the_smallest_is_taken_first_however_long_the_others_wait() {
    let queue = Queue::default();
    for number in 0..100 {
        queue.recovered(ino(number));
    }
    tokio::time::advance(Duration::from_secs(1)).await;
    let smallest_first: Vec<Ino> = (0..100).rev().map(ino).collect();
    queue.inner.lock().reorder(&smallest_first);
    assert_eq!(take(&queue), (100 - AT_ONCE as u64..100).rev().collect::<Vec<_>>());
    queue.inner.lock().hasten_in_order(&[ino(5), ino(70), ino(3)]);
    queue.finish(ino(99), Ok(Outcome::Settled), 0);
    queue.finish(ino(98), Ok(Outcome::Settled), 0);
    assert_eq!(take(&queue), [75, 74], "what is hastened later comes after what is due");
}

#[tokio::test(start_paused = true)]
async fn who_only_lets_another_go_first_goes_on_when_that_or_what_it_waits_for_fails() {
    let queue = Queue::default();
    queue.recovered(ino(1));
    take(&queue);
    queue.finish(ino(1), Ok(Outcome::After(ino(2))), 0);
    assert_eq!(take(&queue), [2]);
    queue.finish(ino(2), Ok(Outcome::Wait(ino(3))), 0);
    assert_eq!(take(&queue), [3]);
    queue.finish(ino(3), Err(&refusal()), 1);
    assert_eq!(take(&queue), [1]);
    assert!(queue.inner.lock().failure(ino(2)).is_some(), "and can see why");
    queue.finish(ino(1), Ok(Outcome::Settled), 0);
    queue.inner.lock().hasten(ino(2));
    assert_eq!(take(&queue), [3]);
    queue.finish(ino(3), Err(&refusal()), 2);
    assert!(take(&queue).is_empty(), "who does not wait is not woken");
}

#[tokio::test(start_paused = true)]
async fn of_very_many_that_wait_for_their_turn_most_are_kept_out_and_nothing_else_waits_for_them() {
    const MANY: u64 = 1000;
    let queue = Queue::default();
    for number in 0..MANY {
        queue.recovered(ino(number));
    }
    let mut seen = 0;
    let (mut parked, mut kept_out) = (Vec::new(), Vec::new());
    while seen < MANY {
        for number in take(&queue) {
            seen += 1;
            if let Some(waits) = Parked::try_new(&queue, ino(number)) {
                parked.push((number, waits));
            } else {
                kept_out.push(number);
                queue.finish(ino(number), Ok(Outcome::Crowded), 0);
            }
        }
    }
    assert!(parked.len() < 300, "{} are held in memory", parked.len());
    assert!(take(&queue).is_empty());
    queue.recovered(ino(MANY));
    assert_eq!(take(&queue), [MANY], "what is small goes on");
    queue.finish(ino(MANY), Ok(Outcome::Settled), 0);
    queue.inner.lock().hasten(ino(kept_out[5]));
    assert!(take(&queue).is_empty(), "who is kept out waits for its turn");
    let mut let_in = Vec::new();
    while let Some((number, waits)) = parked.pop() {
        drop(waits);
        queue.finish(ino(number), Ok(Outcome::Settled), 0);
        for number in take(&queue) {
            let_in.push(number);
            parked.extend(Parked::try_new(&queue, ino(number)).map(|waits| (number, waits)));
        }
    }
    assert_eq!(let_in, kept_out, "in the order in which they came, and all of them");
}

#[tokio::test(start_paused = true)]
async fn what_leads_nowhere_again_and_again_rests() {
    let queue = Queue::default();
    queue.recovered(ino(1));
    let mut steps = 0;
    while take(&queue) == [1] {
        steps += 1;
        queue.finish(ino(1), Ok(Outcome::Again), 0);
    }
    assert!((10..100).contains(&steps), "{steps} steps without a pause");
    tokio::time::advance(Duration::from_mins(1)).await;
    assert_eq!(take(&queue), [1]);
    queue.uploaded(ino(1), 1);
    queue.finish(ino(1), Ok(Outcome::Again), 0);
    assert_eq!(take(&queue), [1], "it got somewhere");
}
