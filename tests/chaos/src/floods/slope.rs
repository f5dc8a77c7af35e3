//! How fast something grows, and how sure that is.

/// A slope, with the half width of its 99.9 % confidence interval: what is run on every change must
/// not fail by chance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Slope {
    pub(crate) per_second: f64,
    pub(crate) plus_minus: f64,
}

/// So many stretches of time are told apart. What is measured every second depends on what was
/// measured a second before; the means of longer stretches do so much less.
const BLOCKS: usize = 12;
/// Student's t for 99.9 % and `BLOCKS - 2` degrees of freedom.
const STUDENT: f64 = 4.587;

impl Slope {
    /// The means of twelve stretches of equal length. `None` with less than two values for each.
    pub(crate) fn stretches(values: &[f64]) -> Option<Vec<f64>> {
        let length = values.len() / BLOCKS;
        (length >= 2).then(|| values.chunks_exact(length).take(BLOCKS).map(mean).collect())
    }

    /// The straight line through [`Slope::stretches`], by least squares. `values` are a second
    /// apart.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let means = Self::stretches(values)?;
        let seconds = as_f64(values.len() / BLOCKS);
        let times: Vec<f64> = (0..BLOCKS).map(|block| as_f64(block) * seconds).collect();
        let (time, level) = (mean(&times), mean(&means));
        let points = || times.iter().zip(&means).map(|(at, value)| (at - time, value - level));
        let spread: f64 = points().map(|(at, _)| at * at).sum();
        let per_second = points().map(|(at, value)| at * value).sum::<f64>() / spread;
        let rest: f64 = points().map(|(at, value)| (value - per_second * at).powi(2)).sum();
        let deviation = (rest / as_f64(BLOCKS - 2) / spread).sqrt();
        Some(Self { per_second, plus_minus: STUDENT * deviation })
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / as_f64(values.len())
}

fn as_f64(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_straight_line_is_found_and_nothing_is_uncertain_about_it() {
        let values: Vec<f64> = (0..120).map(|at| 1000.0 + 3.0 * as_f64(at)).collect();
        let slope = Slope::of(&values).unwrap();
        assert!((slope.per_second - 3.0).abs() < 1e-9, "{slope:?}");
        assert!(slope.plus_minus < 1e-9, "{slope:?}");
        assert_eq!(Slope::of(&values[..20]), None);
    }

    #[test]
    fn in_noise_the_truth_is_nearly_always_within_what_is_said() {
        const RUNS: usize = 400;
        let within = (0..RUNS).filter(|run| {
            let mut random = fastrand::Rng::with_seed(u64::try_from(*run).unwrap());
            let noise = |_| 50.0 * (random.f64() - 0.5);
            let values: Vec<f64> =
                (0..240).map(noise).enumerate().map(|(at, it)| it + 0.1 * as_f64(at)).collect();
            let slope = Slope::of(&values).unwrap();
            (slope.per_second - 0.1).abs() <= slope.plus_minus
        });
        let within = within.count();
        assert!((RUNS * 99 / 100..=RUNS).contains(&within), "{within} of {RUNS}");
    }
}
