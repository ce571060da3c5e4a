use proptest::prelude::*;
use uuid::Uuid;

use super::*;

/// Whose, which of its submissions, and how many rows.
type Item = (u128, usize, usize);

const BATCH: usize = 512;
const BULK: usize = 1_000;

fn limits(queue_rows: usize, queue_bytes: usize) -> Limits {
    Limits { queue_rows, queue_bytes, batch_rows: BATCH, batch_bytes: 1 << 20 }
}

fn merchant(number: u128) -> MerchantId {
    MerchantId::from_uuid(Uuid::from_u128(number))
}

/// A queue whose submissions weigh a byte per row.
struct Bench {
    queue: FairQueue<Item>,
    pushed: HashMap<u128, usize>,
}

impl Bench {
    fn new(queue_rows: usize) -> Self {
        Self { queue: FairQueue::new(limits(queue_rows, usize::MAX)), pushed: HashMap::new() }
    }

    fn try_push(&mut self, number: u128, rows: usize) -> Result<(), Full> {
        let nth = self.pushed.entry(number).or_default();
        let load = Load { merchant: merchant(number), rows, bytes: rows };
        self.queue.push(load, |_| (number, *nth, rows))?;
        *nth += 1;
        Ok(())
    }

    fn push(&mut self, number: u128, rows: usize) {
        self.try_push(number, rows).unwrap();
    }

    /// The next batch, answered at once, as merchants and rows.
    fn take(&mut self) -> Vec<(u128, usize)> {
        let batch = self.queue.take();
        for (number, _, rows) in &batch {
            self.queue.release(merchant(*number), *rows);
        }
        batch.into_iter().map(|(number, _, rows)| (number, rows)).collect()
    }
}

#[test]
fn a_merchant_alone_has_whole_batches_in_its_order() {
    let mut bench = Bench::new(100_000);
    for _ in 0..1_000 {
        bench.push(1, 1);
    }
    let sizes = [bench.take().len(), bench.take().len(), bench.take().len()];
    assert_eq!(sizes, [512, 488, 0]);
    // Bulk requests as well, until they are a batch.
    for rows in [10, 200, 1, 300, 300, 1_000, 1_000, 1] {
        bench.push(1, rows);
    }
    assert_eq!(bench.take(), [10, 200, 1, 300, 300].map(|rows| (1, rows)));
    assert_eq!(bench.take(), [(1, 1_000)]);
    assert_eq!(bench.take(), [(1, 1_000), (1, 1)]);
}

#[test]
fn single_rows_of_others_go_along_with_a_bulk_request() {
    let mut bench = Bench::new(100_000);
    bench.push(1, BULK);
    bench.push(1, BULK);
    for number in 2..=600 {
        bench.push(number, 1);
    }
    let batch = bench.take();
    assert_eq!((batch[0], batch.len()), ((1, BULK), 1 + BATCH));
    assert!(batch[1..].iter().all(|(number, rows)| *number > 1 && *rows == 1));
    // The rest of them before the next one.
    assert_eq!(bench.take().len(), 599 - BATCH);
    assert_eq!(bench.take(), [(1, BULK)]);
}

#[test]
fn a_second_bulk_request_never_follows_the_first_while_another_merchant_waits() {
    let mut bench = Bench::new(100_000);
    for _ in 0..20 {
        bench.push(1, BULK);
    }
    assert_eq!(bench.take(), [(1, BULK)]);
    for _ in 0..10 {
        // It came during the commit.
        bench.push(2, 1);
        assert_eq!(bench.take(), [(2, 1)]);
    }
    assert_eq!(bench.take(), [(1, BULK)]);
    bench.push(2, 1);
    assert_eq!(bench.take(), [(2, 1)]);
    // The same for a bulk request that comes only after the single row.
    let mut bench = Bench::new(100_000);
    bench.push(1, BULK);
    assert_eq!(bench.take(), [(1, BULK)]);
    bench.push(1, BULK);
    bench.push(2, 1);
    assert_eq!((bench.take(), bench.take()), (vec![(2, 1)], vec![(1, BULK)]));
}

#[test]
fn two_long_bulk_requests_are_neither_in_one_batch_nor_in_two_that_follow_while_a_single_row_waits() {
    let mut bench = Bench::new(100_000);
    for number in 1..=8 {
        bench.push(number, BULK);
    }
    for number in 1..=4 {
        assert_eq!(bench.take(), [(number, BULK)]);
        bench.push(100 + number, 1);
        assert_eq!(bench.take(), [(100 + number, 1)]);
    }
    for number in 5..=8 {
        assert_eq!(bench.take(), [(number, BULK)]);
    }
}

#[test]
fn while_others_wait_a_merchant_has_one_bulk_request_in_a_batch() {
    let mut bench = Bench::new(100_000);
    for _ in 0..3 {
        bench.push(1, 10);
        bench.push(2, 20);
    }
    assert_eq!(bench.take(), [(1, 10), (2, 20)]);
    assert_eq!(bench.take(), [(1, 10), (2, 20)]);
    bench.push(3, 1);
    assert_eq!(bench.take().iter().filter(|(number, _)| *number < 3).count(), 2);
}

#[test]
fn a_bulk_request_has_its_turn_however_many_single_rows_come() {
    let mut bench = Bench::new(100_000);
    bench.push(1, BULK);
    assert_eq!(bench.take(), [(1, BULK)]);
    bench.push(1, BULK);
    let batches_until = (0..100).find(|_| {
        bench.push(2, 1);
        bench.take().contains(&(1, BULK))
    });
    assert_eq!(batches_until, Some(BULK / 64));
}

#[test]
fn merchants_share_by_rows_and_not_by_requests() {
    let mut bench = Bench::new(1_000_000);
    for _ in 0..20 {
        bench.push(1, BULK);
    }
    for _ in 0..400 {
        bench.push(2, 50);
    }
    let mut written: HashMap<u128, usize> = HashMap::new();
    while written.values().sum::<usize>() < 20_000 {
        for (number, rows) in bench.take() {
            *written.entry(number).or_default() += rows;
        }
    }
    let (one, other) = (written[&1], written[&2]);
    assert!(one.abs_diff(other) <= 2 * BULK, "{one} and {other} rows");
}

#[test]
fn a_merchant_has_as_much_as_it_leaves_free_and_others_always_find_room() {
    let mut bench = Bench::new(9_000);
    let fill =
        |bench: &mut Bench, number| (0..20_000).take_while(|_| bench.try_push(number, 1).is_ok()).count();
    assert_eq!(fill(&mut bench, 1), 4_500);
    assert_eq!(bench.try_push(1, 1), Err(Full::MerchantRows));
    assert_eq!(fill(&mut bench, 2), 2_250);
    assert_eq!(fill(&mut bench, 3), 1_125);
    assert_eq!(bench.try_push(4, 1_000), Ok(()));
    assert_eq!(bench.try_push(5, 1_000), Err(Full::Rows));
    assert_eq!(bench.try_push(5, 1), Ok(()));
    // The same of bytes, which are held until they are released.
    let mut queue = FairQueue::new(limits(1_000_000, 9_000));
    let load = |number, bytes| Load { merchant: merchant(number), rows: 1, bytes };
    assert_eq!(queue.hold(load(1, 4_000)), Ok(4_000));
    assert_eq!(queue.hold(load(1, 1_000)), Err(Full::MerchantBytes));
    assert_eq!(queue.push(load(2, 5_001), |_| ()), Err(Full::Bytes));
    assert_eq!(queue.push(load(2, 5_000), |_| ()), Ok(()));
    queue.take();
    assert_eq!(queue.hold(load(1, 1)), Err(Full::Bytes));
    queue.release(merchant(1), 4_000);
    queue.release(merchant(2), 5_000);
    // What is larger than everything is taken alone.
    assert_eq!(queue.hold(load(1, 1_000_000)), Ok(9_000));
    let mut bench = Bench::new(4);
    assert_eq!((bench.try_push(1, 5), bench.try_push(2, 1)), (Ok(()), Err(Full::Rows)));
}

#[test]
fn merchants_that_want_nothing_any_more_are_forgotten() {
    let mut bench = Bench::new(100_000);
    for number in 0..10_000 {
        bench.push(number, 100);
        bench.take();
    }
    assert!(bench.queue.members.len() <= 2 * FORGET_FROM, "{}", bench.queue.members.len());
    bench.push(1, 1);
    bench.push(2, 1);
    assert_eq!((bench.queue.drain().len(), bench.queue.rows(), bench.queue.merchants()), (2, 0, 0));
    assert!(bench.take().is_empty());
}

#[derive(Debug, Clone)]
enum Step {
    Push(u128, usize),
    Take,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let rows = prop_oneof![4 => Just(1_usize), 2 => 2..200_usize, 1 => 200..=BULK];
    let step = prop_oneof![
        3 => (0..6_u128, rows).prop_map(|(number, rows)| Step::Push(number, rows)),
        1 => Just(Step::Take),
    ];
    // Some merchants have much waiting from the start.
    let backlog = proptest::collection::vec((0..6_u128, Just(BULK)), 0..60);
    (backlog, proptest::collection::vec(step, 1..300)).prop_map(|(backlog, steps)| {
        let backlog = backlog.into_iter().map(|(number, rows)| Step::Push(number, rows));
        backlog.chain(steps).collect()
    })
}

/// More rows of any other merchant are never written while a merchant's next submission waits.
const WAITS_FOR_MAX: usize = 2 * BATCH + 3 * BULK;

proptest! {
    #[test]
    fn order_is_kept_bounds_hold_and_nobody_starves(steps in steps()) {
        let mut bench = Bench::new(30_000);
        let mut waiting: HashMap<u128, VecDeque<usize>> = HashMap::new();
        let mut done: HashMap<u128, usize> = HashMap::new();
        // Rows of each other merchant, since this merchant's next one waits.
        let mut passed: HashMap<u128, HashMap<u128, usize>> = HashMap::new();
        let drained = std::iter::repeat_n(Step::Take, 600);
        for step in steps.into_iter().chain(drained) {
            let Step::Push(number, rows) = step else {
                let batch = bench.queue.take();
                prop_assert_eq!(batch.is_empty(), waiting.values().all(VecDeque::is_empty));
                let whose: Vec<u128> = batch.iter().map(|(number, ..)| *number).collect();
                let bulk: Vec<u128> = batch.iter().filter(|item| item.2 > 1).map(|item| item.0).collect();
                let total: usize = batch.iter().map(|(.., rows)| rows).sum();
                prop_assert!(total <= 2 * BATCH + BULK, "{} rows in a batch", total);
                if whose.iter().any(|number| *number != whose[0]) {
                    let distinct: std::collections::HashSet<&u128> = bulk.iter().collect();
                    prop_assert_eq!(distinct.len(), bulk.len());
                }
                for (number, nth, rows) in batch {
                    let done = done.entry(number).or_default();
                    prop_assert_eq!(nth, *done);
                    *done += 1;
                    prop_assert_eq!(waiting.get_mut(&number).unwrap().pop_front(), Some(rows));
                    bench.queue.release(merchant(number), rows);
                    passed.remove(&number);
                    for (other, by) in &mut passed {
                        let by = by.entry(number).or_default();
                        *by += rows;
                        prop_assert!(*by <= WAITS_FOR_MAX, "{} waits for {} rows of {}", other, by, number);
                    }
                    if !waiting[&number].is_empty() {
                        passed.entry(number).or_default();
                    }
                }
                continue;
            };
            let before: usize = waiting.values().flatten().sum();
            let own: usize = waiting.get(&number).into_iter().flatten().sum();
            let taken = bench.try_push(number, rows);
            prop_assert!(taken.is_err() || before == 0 || before + rows <= 30_000);
            // Who has nothing waiting finds room as long as there is any.
            prop_assert!(taken.is_ok() || own > 0 || before + rows > 30_000);
            if taken.is_ok() {
                waiting.entry(number).or_default().push_back(rows);
                passed.entry(number).or_default();
            }
            prop_assert_eq!(bench.queue.rows(), waiting.values().flatten().sum::<usize>());
        }
        prop_assert!(bench.queue.is_empty());
        prop_assert_eq!((bench.queue.bytes, bench.queue.rows()), (0, 0));
    }
}
