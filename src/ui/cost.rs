//! `wt cost` for people.

use std::time::Duration;

use comfy_table::CellAlignment;

use super::table::{plain, text};
use crate::model::budget::money;
use crate::model::text::{duration, neutralised};
use crate::model::view::{CostRow, CostView};

/// Returns `wt cost` for people.
pub fn cost(view: &CostView) -> String {
    if view.rows.is_empty() {
        return "nothing was used yet; agents are started with `wt spawn NAME \"what to do\"`".to_owned();
    }
    let mut table = plain(&[&view.by, "attempts", "in", "out", "cache read", "cache write", "cost", "time"]);
    for row in &view.rows {
        table.add_row(cells(row));
    }
    table.add_row(cells(&view.total));
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    text(&table)
}

fn cells(row: &CostRow) -> [String; 8] {
    let tokens = row.tokens;
    let cost = match row.cost_usd {
        Some(usd) if row.partly_priced => format!("≥ {}", money(usd)),
        Some(usd) => money(usd),
        None => "-".to_owned(),
    };
    [
        neutralised(&row.key).into_owned(),
        row.attempts.to_string(),
        tokens.input.to_string(),
        tokens.output.to_string(),
        tokens.cache_read.to_string(),
        tokens.cache_write.to_string(),
        cost,
        duration(Duration::from_millis(row.time_ms)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::usage::Tokens;

    fn row(key: &str, cost_usd: Option<f64>, partly_priced: bool) -> CostRow {
        let tokens = Tokens { input: 1200, output: 90, cache_read: 5000, cache_write: 0 };
        CostRow { key: key.to_owned(), attempts: 2, tokens, cost_usd, partly_priced, time_ms: 61_000 }
    }

    #[test]
    fn no_price_is_not_a_price_of_nothing() {
        let view = CostView {
            schema: 1,
            by: "task".to_owned(),
            rows: vec![row("auth", Some(1.5), false), row("docs", None, false)],
            total: row("total", Some(1.5), true),
        };
        insta::assert_snapshot!(cost(&view), @r"
        TASK   ATTEMPTS    IN  OUT  CACHE READ  CACHE WRITE     COST   TIME
        auth          2  1200   90        5000            0    $1.50  1m01s
        docs          2  1200   90        5000            0        -  1m01s
        total         2  1200   90        5000            0  ≥ $1.50  1m01s
        ");
    }
}
