use awc::http::header::{HOST, HeaderValue};
use seawall::{
    call::Attempt,
    downstream::{Failure, Reached},
};

use crate::{
    Decode, ErrorBody, Http, RequestParts,
    call::{Ended, Failed},
    failure,
    place::Place,
    redirect::{Asked, Refused, Way, Whose},
    wire::Target,
};

impl Http {
    /// A request that is changed by a hook or led on by redirects.
    pub(crate) async fn follow<'a, D: Decode, E: ErrorBody>(
        &'a self,
        mut parts: RequestParts,
        mut place: &'a Place,
        attempt: &Attempt,
    ) -> Result<Ended<D::Reply>, Failure> {
        let mut way = Way::new(self.settings.redirects());
        // A write was answered, and led to a GET: whatever becomes of that, the write must not be made again.
        let mut written = false;
        let judged =
            |failure: Failure, written| if written { failure.reached(Reached::Yes) } else { failure };
        loop {
            let ended = match &self.hook {
                // Anew for each: a signature holds for one path.
                Some(hook) if way.is_home() => self.hooked::<D, E>(hook, &parts, place, attempt).await,
                _ => self.once::<D, E>(&mut parts.clone(), place, attempt).await,
            };
            let mut failed = match ended.map_err(|failure| judged(failure, written))? {
                Ended::Failed(failed) => failed,
                reply @ Ended::Reply(_) => return Ok(reply),
            };
            match self.next(&mut way, &parts, place, &failed) {
                Some(Ok((next_parts, next_place))) => {
                    written |= !parts.is_idempotent();
                    (parts, place) = (next_parts, next_place);
                }
                Some(Err(failure)) => {
                    failed.failure = judged(failure, written);
                    return Ok(Ended::Failed(failed));
                }
                None => {
                    failed.failure = judged(failed.failure, written);
                    return Ok(Ended::Failed(failed));
                }
            }
        }
    }

    /// The request that an answer leads to, and where; `None` where it is no redirect.
    fn next(
        &self,
        way: &mut Way,
        parts: &RequestParts,
        place: &Place,
        failed: &Failed,
    ) -> Option<Result<(RequestParts, &Place), Failure>> {
        let location = failed.location.as_ref().filter(|_| way.asks(failed.status))?;
        let location = location.to_str().unwrap_or_default();
        let asked = Asked {
            target: place.target().clone(),
            method: parts.method().clone(),
            path_and_query: parts.path_and_query().to_owned(),
        };
        let led = way
            .next(asked, failed.status, location, parts.is_idempotent(), |target| self.whose(target))
            .and_then(|next| {
                let place = self.place_of(&next.target).ok_or(Refused::Stranger)?;
                let parts = match way.is_home() {
                    true => parts.moved(next.method, &next.path_and_query),
                    false => parts.elsewhere(&next.path_and_query),
                };
                let mut parts = parts.map_err(|_| Refused::Unreadable)?;
                parts.set(HOST, HeaderValue::clone(&place.host));
                Ok((parts, place))
            });
        Some(led.map_err(|refused| failure::of_redirect(failed.status, location, refused)))
    }

    fn whose(&self, target: &Target) -> Whose {
        match self.places.iter().position(|place| place.target() == target) {
            Some(index) if index < self.endpoints => Whose::Own,
            Some(_) => Whose::Allowed,
            None => Whose::Stranger,
        }
    }

    fn place_of(&self, target: &Target) -> Option<&Place> {
        self.places.iter().find(|place| place.target() == target)
    }
}
