//! MessagePack's timestamps as JSON has them: RFC 3339, in UTC.

use std::fmt::Write as _;

const SECONDS_A_DAY: i64 = 24 * 60 * 60;

/// The text of a moment, given in seconds since 1970 and nanoseconds beyond; `None` if its year
/// has not four digits or the second would be over.
pub(super) fn rfc3339(seconds: i64, nanoseconds: u32) -> Option<String> {
    let (year, month, day) = date(seconds.div_euclid(SECONDS_A_DAY))?;
    let second = seconds.rem_euclid(SECONDS_A_DAY);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    if nanoseconds >= 1_000_000_000 {
        return None;
    }
    let mut text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    if nanoseconds > 0 {
        let _ = write!(text, ".{nanoseconds:09}");
        text.truncate(text.trim_end_matches('0').len());
    }
    text.push('Z');
    Some(text)
}

/// Year, month and day of a day, counted from 1970-01-01.
fn date(days: i64) -> Option<(i64, usize, i64)> {
    let mut year = 1970 + days.div_euclid(365);
    if !(-20..11_000).contains(&year) {
        return None;
    }
    // A year has more than 365 days on average, so the guess is a few years off.
    while new_year(year) > days {
        year -= 1;
    }
    while new_year(year + 1) <= days {
        year += 1;
    }
    let february = if new_year(year + 1) - new_year(year) == 366 {
        29
    } else {
        28
    };
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut day = days - new_year(year);
    let month = months.iter().position(|length| {
        let there = day < *length;
        if !there {
            day -= length;
        }
        there
    })?;
    (0..10_000)
        .contains(&year)
        .then_some((year, month + 1, day + 1))
}

/// The day that `year` begins with, counted from 1970-01-01.
fn new_year(year: i64) -> i64 {
    let leap_days = |year: i64| year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    365 * (year - 1970) + leap_days(year - 1) - leap_days(1969)
}
