//! The t-tests, with crops.

/// |t| from which two classes count as different.
pub const BOUND: f64 = 4.5;

/// The slowest are cut off beyond these percentiles of all samples together: what the machine did
/// meanwhile says nothing of the request.
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
        let mut all: Vec<u64> = self.0.iter().flatten().flatten().copied().collect();
        all.sort_unstable();
        let figure = |crop: &u32| {
            let slowest = all[(all.len() * *crop as usize / 100).saturating_sub(1)];
            let kept = |times: &Vec<u64>| -> Vec<f64> {
                times.iter().filter(|time| **time <= slowest).map(|time| *time as f64).collect()
            };
            let blocks: Vec<[Vec<f64>; 2]> =
                self.0.iter().map(|[one, other]| [kept(one), kept(other)]).collect();
            Figure { t: t(&blocks) }
        };
        CROPS.iter().map(figure).collect()
    }
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
