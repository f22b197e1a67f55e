//! Fewer points than a picture has room for, with every peak kept.
//!
//! Invariant: the first, the lowest, the highest and the last point of each column of pixels stay, in their order.

/// Points in pixels, by rising x, with what belongs to them. At most four for each column `column_width` wide.
pub fn thinned<T>(points: Vec<(f64, f64, T)>, column_width: f64) -> Vec<(f64, f64, T)> {
    let column = |point: &(f64, f64, T)| (point.0 / column_width).floor();
    let mut keep = vec![false; points.len()];
    let mut start = 0;
    while start < points.len() {
        let in_column = points[start..].iter().take_while(|point| column(point) == column(&points[start])).count().max(1);
        let end = start + in_column;
        let by_height = |left: &usize, right: &usize| points[*left].1.total_cmp(&points[*right].1);
        let (lowest, highest) = ((start..end).max_by(by_height), (start..end).min_by(by_height));
        for kept in [Some(start), lowest, highest, Some(end - 1)].into_iter().flatten() {
            keep[kept] = true;
        }
        start = end;
    }
    points.into_iter().zip(keep).filter_map(|(point, keep)| keep.then_some(point)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_among_thousands_stays() {
        let mut points: Vec<(f64, f64, usize)> = (0..10_000).map(|number| (number as f64 / 100.0, 50.0, number)).collect();
        points[7777].1 = 3.0;
        let thin = thinned(points, 1.0);
        assert!(thin.len() <= 400 && thin.iter().any(|point| point.2 == 7777));
        assert!(thin.windows(2).all(|pair| pair[0].2 < pair[1].2), "in order");
        assert_eq!((thin[0].2, thin[thin.len() - 1].2), (0, 9_999));
    }

    #[test]
    fn few_points_stay_as_they_are() {
        let points = vec![(0.0, 1.0, ()), (10.0, 2.0, ()), (20.0, 1.0, ())];
        assert_eq!(thinned(points.clone(), 1.0), points);
        assert_eq!(thinned(Vec::<(f64, f64, ())>::new(), 1.0), vec![]);
    }
}
