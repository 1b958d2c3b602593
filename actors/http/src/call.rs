use awc::http::{
    StatusCode,
    header::{self, HeaderValue, LOCATION},
};
use seawall::{
    call::Attempt,
    downstream::{Failure, Stage},
};

use crate::{
    Decode, ErrorBody, Hook, Http, Request, RequestParts, Response, Untyped, failure,
    place::Place,
    reply::{self, Coding},
    watch::Watch,
    wire::{Answer, Exchange, Proxy},
};

/// How often a request is sent at most when it keeps meeting connections that the server has closed while they were
/// idle, as all of a restarted server's are.
const STALE_TRIES: u32 = 3;

impl Http {
    /// Makes a request within an attempt and decodes its answer. What derived calls do; for those written by hand.
    ///
    /// ```
    /// # use seawall_http::{Http, Json, Request};
    /// # use seawall::{call::{Attempt, Call}, Failure};
    /// # struct GetUser { id: u64 }
    /// # #[derive(serde::Deserialize)]
    /// # struct User;
    /// impl Call<Http> for GetUser {
    ///     type Reply = User;
    ///     const NAME: &'static str = "GetUser";
    ///
    ///     async fn attempt(&self, http: &Http, attempt: &Attempt) -> Result<User, Failure> {
    ///         let request = Request::get().path("/users/").segment("id", &self.id);
    ///         http.send::<Json<User>>(request, attempt).await
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// Everything that is no reply, classified as the table of this crate's documentation says.
    pub fn send<D: Decode>(
        &self,
        request: Request,
        attempt: &Attempt,
    ) -> impl Future<Output = Result<D::Reply, Failure>> {
        self.send_typed::<D, Untyped>(request, attempt)
    }

    /// As [`send`](Self::send), with the body of a 4xx or 5xx that is an `E` as the failure's source.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_typed<D: Decode, E: ErrorBody>(
        &self,
        request: Request,
        attempt: &Attempt,
    ) -> impl Future<Output = Result<D::Reply, Failure>> {
        // Before the future, which then has no room for the request that it is made of. Kept below a kilobyte, it finds
        // its memory at hand: that is a percent or two of what a request costs.
        let place = self.place(attempt);
        let parts = self.prepare(request, place, D::ACCEPT);
        async move {
            let mut parts = parts?;
            let ended = if self.goes_straight {
                let mut answer = self.exchange(&mut parts, place, attempt).await?;
                parts.recycle(place.template.accepting(D::ACCEPT));
                self.answered::<D, E>(&mut answer, attempt).await?
            } else {
                // In a box, as what is rare.
                Box::pin(self.follow::<D, E>(parts, place, attempt)).await?
            };
            match ended {
                Ended::Reply(reply) => Ok(reply),
                Ended::Failed(failed) => Err(failed.failure),
            }
        }
    }

    /// The request with the headers that the service's have.
    fn prepare(
        &self,
        request: Request,
        place: &Place,
        accept: Option<&'static str>,
    ) -> Result<RequestParts, Failure> {
        let own_authorization = request.has_header(&header::AUTHORIZATION);
        let template = place.template.accepting(accept);
        let mut parts = request.into_parts(self.settings.base(), template, |headers| {
            for (name, value) in self.settings.headers() {
                headers.insert(name.clone(), value.clone());
            }
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(reply::ACCEPTED));
            if let Some(accept) = accept {
                headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            }
            headers.insert(header::HOST, place.host.clone());
        })?;
        if let Some(auth) = self.settings.auth()
            && !own_authorization
        {
            parts.set_standing(&header::AUTHORIZATION, self.authorization.get(auth)?);
        }
        Ok(parts)
    }

    /// A request that a hook changes, anew each time it is made.
    pub(crate) async fn hooked<D: Decode, E: ErrorBody>(
        &self,
        hook: &Hook,
        parts: &RequestParts,
        place: &Place,
        attempt: &Attempt,
    ) -> Result<Ended<D::Reply>, Failure> {
        let mut asked = false;
        loop {
            let mut signed = parts.clone();
            hook.before(&mut signed, attempt).await?;
            let ended = self.once::<D, E>(&mut signed, place, attempt).await?;
            let refused =
                matches!(&ended, Ended::Failed(failed) if failed.status == StatusCode::UNAUTHORIZED);
            if !refused || asked || !hook.unauthorized(attempt).await {
                return Ok(ended);
            }
            asked = true;
        }
    }

    /// One request and what its answer is.
    pub(crate) async fn once<D: Decode, E: ErrorBody>(
        &self,
        parts: &mut RequestParts,
        place: &Place,
        attempt: &Attempt,
    ) -> Result<Ended<D::Reply>, Failure> {
        let mut answer = self.exchange(parts, place, attempt).await?;
        self.answered::<D, E>(&mut answer, attempt).await
    }

    /// One request, until its answer begins; over another connection if the one at hand turns out to be closed.
    async fn exchange(
        &self,
        parts: &mut RequestParts,
        place: &Place,
        attempt: &Attempt,
    ) -> Result<Answer, Failure> {
        for propagated in self.settings.propagate() {
            propagated.put(parts, attempt, &self.left);
        }
        if let Some(server) = &place.through {
            self.go_through(parts, server)?;
        }
        let mut tries = 1;
        loop {
            let exchange = Exchange::new();
            let request = place.client.send(parts.head().clone(), parts.to_body());
            match Watch::new(place, &exchange, attempt, request).await {
                Ok(answer) => return Ok(answer),
                Err(_)
                    if exchange.looks_stale()
                        && (parts.is_idempotent() || !exchange.sent())
                        && tries < STALE_TRIES =>
                {
                    tries += 1;
                }
                Err(error) => return Err(failure::of_exchange(error, exchange.sent())),
            }
        }
    }

    /// Has the request made by a proxy: after all else, since what it is signed for is not the proxy's.
    fn go_through(&self, parts: &mut RequestParts, server: &str) -> Result<(), Failure> {
        let known =
            self.settings.proxy().and_then(Proxy::auth).map(|auth| self.proxy_authorization.get(auth));
        parts.go_through(server, known.transpose()?)
    }

    /// An answer's head has come.
    async fn answered<D: Decode, E: ErrorBody>(
        &self,
        answer: &mut Answer,
        attempt: &Attempt,
    ) -> Result<Ended<D::Reply>, Failure> {
        let status = answer.status();
        if !D::accepts(status) {
            // In a box, as what is rare.
            return Ok(Ended::Failed(Box::pin(self.failed::<E>(answer)).await));
        }
        let coding = Coding::of(answer.headers())?;
        attempt.enter(Stage::Body);
        let body = reply::read(answer, self.settings.max_body()).await?;
        let mut headers = answer.give_up();
        coding.strip(&mut headers);
        let body = coding.decode(body, self.settings.max_decoded()).await?;
        attempt.set_reply_bytes(body.len());
        D::decode(Response { status, headers, body }).map(Ended::Reply)
    }

    /// The failure that an answer is, with what its body says of it.
    async fn failed<E: ErrorBody>(&self, answer: &mut Answer) -> Box<Failed> {
        let status = answer.status();
        if status == StatusCode::UNAUTHORIZED {
            self.authorization.doubt();
        }
        let failure = failure::of_answer(status, answer.headers());
        let location = answer.headers().get(LOCATION).filter(|_| status.is_redirection()).cloned();
        let said = match E::WANTED && status.as_u16() >= 400 {
            true => reply::read_error(answer, self.settings.max_body(), self.settings.max_decoded())
                .await
                .and_then(|body| E::parse(&body)),
            false => {
                reply::drain(answer).await;
                None
            }
        };
        let failure = match said {
            Some(error) => failure.caused_by(error),
            None => failure,
        };
        Box::new(Failed { failure, status, location })
    }
}

/// How an exchange ended that had an answer.
pub(crate) enum Ended<R> {
    Reply(R),
    Failed(Box<Failed>),
}

/// An answer that is no reply.
pub(crate) struct Failed {
    pub(crate) failure: Failure,
    pub(crate) status: StatusCode,
    /// Where a redirect leads.
    pub(crate) location: Option<HeaderValue>,
}
