//! Which elements of a base are still there in a side.
//!
//! Where the same text could have been inserted at several neighbouring places (`}` before or after a function), one of
//! them is chosen by a rule that depends on the text alone, so that two sides that insert at one place are seen to do so.

use std::collections::HashSet;

use similar::{Algorithm, DiffOp, capture_diff_slices};

/// For each element of `base`, its place in `side`; ascending.
pub(super) fn matches(base: &[u32], side: &[u32], begins: impl Fn(usize) -> bool) -> Vec<Option<usize>> {
    let mut found = vec![None; base.len()];
    let prefix = base.iter().zip(side).take_while(|(a, b)| a == b).count();
    let rest = base[prefix..].iter().rev().zip(side[prefix..].iter().rev());
    let suffix = rest.take_while(|(a, b)| a == b).count();
    for (n, place) in found.iter_mut().enumerate().take(prefix) {
        *place = Some(n);
    }
    for n in 1..=suffix {
        found[base.len() - n] = Some(side.len() - n);
    }
    // What the other does not have at all cannot match; without it a rewritten file costs nothing.
    let inner = |text: &[u32]| prefix..text.len() - suffix;
    let known: [HashSet<u32>; 2] = [base, side].map(|text| text[inner(text)].iter().copied().collect());
    let shared = |text: &[u32], other: &HashSet<u32>| -> Vec<usize> {
        inner(text).filter(|n| other.contains(&text[*n])).collect()
    };
    let (left, right) = (shared(base, &known[1]), shared(side, &known[0]));
    let ids = |text: &[u32], places: &[usize]| places.iter().map(|n| text[*n]).collect::<Vec<u32>>();
    for op in capture_diff_slices(Algorithm::Myers, &ids(base, &left), &ids(side, &right)) {
        if let DiffOp::Equal { old_index, new_index, len } = op {
            for n in 0..len {
                found[left[old_index + n]] = Some(right[new_index + n]);
            }
        }
    }
    slide(&mut found, side, begins);
    found
}

/// The same matches with every insertion and every deletion moved to where it begins something in its text, if it can be.
pub(super) fn moved(
    mut found: Vec<Option<usize>>,
    [base, side]: [&[u32]; 2],
    begins: [&dyn Fn(usize) -> bool; 2],
) -> Vec<Option<usize>> {
    let [begins_base, begins_side] = begins;
    slide(&mut found, side, begins_side);
    let mut back = inverse(&found, side.len());
    slide(&mut back, base, begins_base);
    inverse(&back, base.len())
}

/// For each element of the other text its place in this one.
fn inverse(found: &[Option<usize>], length: usize) -> Vec<Option<usize>> {
    let mut back = vec![None; length];
    for (n, place) in found.iter().enumerate() {
        if let Some(place) = place {
            back[*place] = Some(n);
        }
    }
    back
}

/// Moves each insertion to where it `begins` something, else as far down as it goes.
fn slide(found: &mut [Option<usize>], side: &[u32], begins: impl Fn(usize) -> bool) {
    for n in (0..=found.len()).rev() {
        let before = if n == 0 { Some(0) } else { found[n - 1].map(|place| place + 1) };
        let after = if n == found.len() { Some(side.len()) } else { found[n] };
        let (Some(mut start), Some(mut end)) = (before, after) else { continue };
        let mut at = n;
        if start >= end {
            continue;
        }
        while at > 0 && start > 0 && found[at - 1] == Some(start - 1) && side[start - 1] == side[end - 1] {
            (at, start, end) = (at - 1, start - 1, end - 1);
            found[at] = Some(end);
        }
        let lowest = (at, start, end);
        let mut best = begins(start).then_some(at);
        while at < found.len() && found[at] == Some(end) && side[end] == side[start] {
            found[at] = Some(start);
            (at, start, end) = (at + 1, start + 1, end + 1);
            if best.is_none() && begins(start.min(side.len() - 1)) {
                best = Some(at);
            }
        }
        let goal = best.unwrap_or(at);
        while at > goal && at > lowest.0 {
            (at, start, end) = (at - 1, start - 1, end - 1);
            found[at] = Some(end);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_deletion_moves_like_an_insertion() {
        // `{ } a } b` without `a }`, or without `} a`.
        let found = vec![Some(0), None, None, Some(1), Some(2)];
        let again = moved(found, [&[1, 2, 9, 2, 3], &[1, 2, 3]], [&|n| n == 2, &|_| false]);
        assert_eq!(again, [Some(0), Some(1), None, None, Some(2)]);
    }

    #[test]
    fn one_insertion_has_one_place() {
        // `} a }` into `{ } b`: before or after the bracket, found either way.
        let found = matches(&[1, 2, 3], &[1, 2, 9, 2, 3], |_| false);
        assert_eq!(found, [Some(0), Some(1), Some(4)]);
        let found = matches(&[1, 2, 3], &[1, 2, 9, 2, 3], |n| n == 1);
        assert_eq!(found, [Some(0), Some(3), Some(4)]);
    }

    proptest! {
        #[test]
        fn matches_ascend_and_are_equal(
            base in prop::collection::vec(0u32..6, 0..40),
            side in prop::collection::vec(0u32..6, 0..40),
        ) {
            let found = matches(&base, &side, |n| n % 3 == 0);
            let places: Vec<usize> = found.iter().flatten().copied().collect();
            prop_assert!(places.windows(2).all(|pair| pair[0] < pair[1]));
            let again = moved(found.clone(), [&base, &side], [&|n| n % 2 == 0, &|n| n % 3 == 0]);
            prop_assert_eq!(again.iter().flatten().count(), places.len());
            prop_assert!(again.iter().flatten().is_sorted());
            for (n, place) in found.iter().enumerate().chain(again.iter().enumerate()) {
                prop_assert!(place.is_none_or(|place| side[place] == base[n]));
            }
        }
    }
}
