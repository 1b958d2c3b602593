use std::time::{Duration, SystemTime};

use awc::http::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};

/// The longest that a server is taken at its word: a slip of the pen must not silence a client for a year.
const LONGEST: Duration = Duration::from_secs(3600);

/// How long the server asked to be left alone: seconds, or a date, which is read against the server's own clock where
/// it tells the time, since the two clocks may differ. What is neither is ignored; zero is a wait, of nothing.
pub(super) fn retry_after(headers: &HeaderMap, clock: impl FnOnce() -> SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        let until = httpdate::parse_http_date(text).ok()?;
        let now = date(headers, DATE).unwrap_or_else(clock);
        until.duration_since(now).unwrap_or_default()
    };
    Some(wait.min(LONGEST))
}

fn date(headers: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use awc::http::header::HeaderValue;

    use super::*;

    const NOON: &str = "Sun, 06 Nov 1994 12:00:00 GMT";
    const A_MINUTE_PAST: &str = "Sun, 06 Nov 1994 12:01:00 GMT";

    fn read(value: &str, date: Option<&str>) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_str(value).unwrap());
        if let Some(date) = date {
            headers.insert(DATE, HeaderValue::from_str(date).unwrap());
        }
        let clock = || httpdate::parse_http_date(NOON).unwrap() - Duration::from_secs(30);
        retry_after(&headers, clock).map(|wait| wait.as_secs())
    }

    #[test]
    fn seconds_and_dates_are_read_and_capped() {
        assert_eq!(read("7", None), Some(7));
        assert_eq!(read(" 0 ", None), Some(0));
        assert_eq!(read("99999999999999999999999", None), Some(3600));
        assert_eq!(read(A_MINUTE_PAST, Some(NOON)), Some(60));
        assert_eq!(read(A_MINUTE_PAST, None), Some(90));
        assert_eq!(read(NOON, Some(A_MINUTE_PAST)), Some(0));
    }

    #[test]
    fn garbage_is_ignored() {
        for garbage in ["", "soon", "-1", "1.5", "1e3", "+5", "Sun, 99 Nov 1994 12:00:00 GMT"] {
            assert_eq!(read(garbage, None), None, "{garbage:?}");
        }
    }
}
