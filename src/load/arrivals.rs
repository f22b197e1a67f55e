//! Random arrivals: a Poisson process, drawn from a seed, so that a run can be repeated.
//!
//! Pure. Invariant: arrival times never go down.

/// Arrivals whose distances are exponential: what many clients that know nothing of each other send together.
#[derive(Clone, Debug)]
pub struct PoissonArrivals {
    state: u64,
    mean_ns: f64,
    /// Since the start. Exact to the nanosecond for a hundred days.
    at_ns: f64,
}

impl PoissonArrivals {
    /// `stream`: processes of one seed that differ in it are independent.
    pub fn new(seed: u64, stream: u64, mean_ns: f64) -> PoissonArrivals {
        let mut arrivals = PoissonArrivals { state: seed, mean_ns, at_ns: 0.0 };
        // Seeds and streams are small numbers: two rounds spread them over the whole state.
        arrivals.state = arrivals.draw() ^ stream.wrapping_mul(0xd134_2543_de82_ef95);
        arrivals.state = arrivals.draw();
        arrivals
    }

    /// The next arrival, in ns since the start.
    pub fn next_ns(&mut self) -> u64 {
        // 53 bits, and never 0: the logarithm is finite.
        let uniform = ((self.draw() >> 11) + 1) as f64 / (1u64 << 53) as f64;
        self.at_ns += -uniform.ln() * self.mean_ns;
        self.at_ns as u64
    }

    /// SplitMix64 (Steele, Lea, Flood 2014).
    fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_one_seed_are_not_correlated() {
        let gaps = |stream| {
            let mut arrivals = PoissonArrivals::new(3, stream, 1000.0);
            let mut before = 0;
            (0..20_000).map(move |_| {
                let at = arrivals.next_ns();
                (at - std::mem::replace(&mut before, at)) as f64 / 1000.0 - 1.0
            })
        };
        // Each has variance 1, so the mean of the products has a standard deviation of 0.007.
        let covariance = gaps(0).zip(gaps(1)).map(|(a, b)| a * b).sum::<f64>() / 20_000.0;
        assert!(covariance.abs() < 0.035, "{covariance}");
    }
}
