//! Reads a result against what it has to look like: the settled tokens one by one, and at each slot what may stand there.

use std::collections::BTreeMap;

use super::doubt::Side;
use super::slot::is_sum;
use super::template::{Meeting, Part, Slot};
use super::token::{Lexer, Token};

/// The most places at which a slot is tried; beyond it there is no explanation.
const TRIES: usize = 200_000;

/// What may stand at a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Allowed {
    /// Only the sum of both sides.
    Sum,
    /// Also one side alone.
    SumOrSide,
}

/// What stands at a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stands {
    /// Both.
    Sum,
    /// Only what this side added.
    Side(Side),
}

/// For each slot what stands there, if the result can be read so.
pub(super) fn explain(
    lexer: &Lexer,
    parts: &[Part],
    result: &[Token],
    allowed: Allowed,
) -> Option<Vec<Stands>> {
    // For each part the places at which it may begin, and how each was reached.
    let mut reached: Vec<BTreeMap<usize, (usize, Option<Stands>)>> = vec![BTreeMap::from([(0, (0, None))])];
    let mut tries = 0;
    for (n, part) in parts.iter().enumerate() {
        let next = parts.get(n + 1);
        let mut ends = BTreeMap::new();
        for start in reached[n].keys().copied() {
            match part {
                Part::Fixed(tokens) => {
                    if begins_with(&result[start..], tokens) {
                        ends.entry(start + tokens.len()).or_insert((start, None));
                    }
                }
                Part::Slot(slot) => {
                    let most = (start + slot.ours.len() + slot.theirs.len() + 2).min(result.len());
                    for end in start..=most {
                        let fits = match next {
                            None => end == result.len(),
                            Some(Part::Fixed(tokens)) => begins_with(&result[end..], tokens),
                            Some(Part::Slot(_)) => true,
                        };
                        if !fits {
                            continue;
                        }
                        tries += 1;
                        if tries > TRIES {
                            return None;
                        }
                        if let Some(stands) = stands(lexer, slot, &result[start..end], allowed) {
                            ends.entry(end).or_insert((start, Some(stands)));
                        }
                    }
                }
            }
        }
        if ends.is_empty() {
            return None;
        }
        reached.push(ends);
    }
    let mut at = result.len();
    let mut found = Vec::new();
    for places in reached.iter().skip(1).rev() {
        let (start, stands) = *places.get(&at)?;
        found.extend(stands);
        at = start;
    }
    // Without any part only an empty result is read.
    found.reverse();
    (at == 0).then_some(found)
}

/// If the result is what both sides together come to, but for something that is missing: the first token that is.
pub(super) fn gap(parts: &[Part], result: &[Token]) -> Option<(Side, Token)> {
    [[Side::Ours, Side::Theirs], [Side::Theirs, Side::Ours]].into_iter().find_map(|order| {
        let whole = parts.iter().flat_map(|part| match part {
            Part::Fixed(tokens) => vec![(Side::Ours, tokens.as_slice())],
            Part::Slot(slot) => order.map(|side| (side, slot.of(side))).to_vec(),
        });
        let mut rest = result.iter().peekable();
        let mut missing = None;
        for (side, token) in whole.flat_map(|(side, tokens)| tokens.iter().map(move |token| (side, *token))) {
            if rest.next_if(|next| next.id == token.id).is_none() {
                missing = missing.or(Some((side, token)));
            }
        }
        missing.filter(|_| rest.peek().is_none())
    })
}

fn begins_with(text: &[Token], start: &[Token]) -> bool {
    text.len() >= start.len() && text.iter().zip(start).all(|(a, b)| a.id == b.id)
}

fn stands(lexer: &Lexer, slot: &Slot, found: &[Token], allowed: Allowed) -> Option<Stands> {
    if slot.meeting == Meeting::Beside && is_sum(lexer, &slot.ours, &slot.theirs, found) {
        return Some(Stands::Sum);
    }
    if allowed == Allowed::Sum {
        return None;
    }
    let is = |side: Side| slot.of(side).iter().map(|token| token.id).eq(found.iter().map(|token| token.id));
    [Side::Ours, Side::Theirs].into_iter().find(|side| is(*side)).map(Stands::Side)
}
