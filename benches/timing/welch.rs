//! The t-tests, with crops.

/// |t| from which two classes count as different.
pub const BOUND: f64 = 4.5;

/// The slowest of a block are cut off beyond these percentiles of both classes together: what the machine
/// did meanwhile says nothing of the request.
pub const CROPS: [u32; 5] = [100, 99, 95, 90, 75];

/// Times in nanoseconds by block and class.
///
/// One block is compared by Welch's t-test. Where a key happens to lie in memory is worth a few
/// nanoseconds, too, and is nobody's secret: it is drawn anew for each of many blocks, and their
/// differences are what is tested then.
#[derive(Default)]
pub struct Samples(Vec<[Vec<u64>; 2]>);

/// What a crop came to.
pub struct Figure {
    pub t: f64,
}

impl Samples {
    pub fn begin_block(&mut self) {
        self.0.push([Vec::new(), Vec::new()]);
    }

    pub fn add(&mut self, class: usize, nanoseconds: u64) {
        self.0.last_mut().expect("a block")[class].push(nanoseconds);
    }

    pub fn medians(&self) -> [u64; 2] {
        [0, 1].map(|class| {
            let mut sorted: Vec<u64> = self.0.iter().flat_map(|block| &block[class]).copied().collect();
            sorted.sort_unstable();
            sorted[sorted.len() / 2]
        })
    }

    /// One figure per crop.
    pub fn figures(&self) -> Vec<Figure> {
        let figure = |crop: &u32| {
            let blocks: Vec<[Vec<f64>; 2]> = self.0.iter().map(|block| cropped(block, *crop)).collect();
            Figure { t: t(&blocks) }
        };
        CROPS.iter().map(figure).collect()
    }
}

fn cropped(block: &[Vec<u64>; 2], crop: u32) -> [Vec<f64>; 2] {
    let mut all: Vec<u64> = block.iter().flatten().copied().collect();
    all.sort_unstable();
    let slowest = all[(all.len() * crop as usize / 100).saturating_sub(1)];
    block
        .each_ref()
        .map(|times| times.iter().filter(|time| **time <= slowest).map(|time| *time as f64).collect())
}

fn t(blocks: &[[Vec<f64>; 2]]) -> f64 {
    if let [[one, other]] = blocks {
        let ((mean, error), (other_mean, other_error)) = (moments(one), moments(other));
        return (mean - other_mean) / (error + other_error).sqrt();
    }
    let differences: Vec<f64> = blocks
        .iter()
        .map(|[one, other]| moments(one).0 - moments(other).0)
        .filter(|d| d.is_finite())
        .collect();
    let (mean, error) = moments(&differences);
    mean / error.sqrt()
}

/// The mean, and the square of its error.
fn moments(sample: &[f64]) -> (f64, f64) {
    let count = sample.len() as f64;
    let mean = sample.iter().sum::<f64>() / count;
    let variance = sample.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (count - 1.0);
    (mean, variance / count)
}
