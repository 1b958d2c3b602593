//! Heads of requests, used again.
//!
//! A map of headers is several kilobytes, which is more than the allocator keeps at hand: made anew for each request,
//! it was a tenth of what a request costs. And most requests to a service have the same headers: one that had no others
//! leaves them in its head for the next. A thread keeps as many heads as it had requests at once, up to a limit.

use std::{
    cell::RefCell,
    rc::Rc,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use actix_http::RequestHead;

/// How many a thread keeps; about 7 KB each.
const KEPT: usize = 128;
/// More headers than a head is made with room for: such a one has grown, and is not kept.
const ROOMY: usize = 64;

thread_local! {
    static HEADS: RefCell<Vec<Kept>> = const { RefCell::new(Vec::new()) };
}

struct Kept {
    head: Rc<RequestHead>,
    /// Whose headers it has; `None` where it has none.
    template: Option<Template>,
}

/// Which headers a request has that has none of its own: those of one service's pool, and of one kind of reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    pool: u64,
    accept: Option<&'static str>,
}

impl Template {
    /// A template that is like no other: for a pool, whose settings do not change.
    pub(crate) fn unique() -> Self {
        static POOLS: AtomicU64 = AtomicU64::new(0);
        Self { pool: POOLS.fetch_add(1, Relaxed), accept: None }
    }

    /// The pool's template for requests that want this.
    pub(crate) fn accepting(self, accept: Option<&'static str>) -> Self {
        Self { accept, ..self }
    }
}

/// A head, its method and path those of some earlier request; and whether it has the template's headers. If not, it has
/// none.
pub(super) fn take(template: Template) -> (Rc<RequestHead>, bool) {
    let Some(mut kept) = HEADS.with_borrow_mut(Vec::pop) else { return Default::default() };
    let filled = kept.template == Some(template);
    if !filled && kept.template.is_some() {
        Rc::make_mut(&mut kept.head).headers.clear();
    }
    (kept.head, filled)
}

/// Keeps a head that nobody else has: as it is, if it has the headers of a template and no other.
pub(super) fn give_back(mut head: Rc<RequestHead>, template: Option<Template>) {
    let Some(own) = Rc::get_mut(&mut head) else { return };
    if template.is_none() {
        own.headers.clear();
    }
    if own.headers.capacity() > ROOMY {
        return;
    }
    HEADS.with_borrow_mut(|heads| {
        if heads.len() < KEPT {
            heads.push(Kept { head, template });
        }
    });
}

#[cfg(test)]
mod tests {
    use awc::http::header::{ACCEPT, HeaderName, HeaderValue};

    use super::*;

    fn with_a_header((mut head, _): (Rc<RequestHead>, bool)) -> Rc<RequestHead> {
        Rc::make_mut(&mut head).headers.insert(ACCEPT, HeaderValue::from_static("text/html"));
        head
    }

    #[test]
    fn a_head_keeps_its_headers_for_its_own_template_only() {
        let (ours, theirs) = (Template::unique(), Template::unique());
        let head = with_a_header(take(ours));
        give_back(head, Some(ours));
        let (head, filled) = take(ours);
        assert_eq!((filled, head.headers.len()), (true, 1));
        for other in [theirs, ours.accepting(Some("text/html"))] {
            give_back(with_a_header(take(ours)), Some(ours));
            let (head, filled) = take(other);
            assert_eq!((filled, head.headers.len()), (false, 0));
        }
        give_back(head, None);
        let (head, filled) = take(ours);
        assert_eq!((filled, head.headers.len()), (false, 0));
    }

    #[test]
    fn a_head_comes_back_only_from_its_last_owner() {
        let template = Template::unique();
        let head = with_a_header(take(template));
        let address = Rc::as_ptr(&head);
        give_back(head.clone(), None);
        give_back(head, None);
        let again = take(template);
        assert_eq!(Rc::as_ptr(&again.0), address);
        assert_ne!(Rc::as_ptr(&take(template).0), address, "it was kept once");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let template = Template::unique();
        let heads: Vec<_> = (0..2 * KEPT).map(|_| take(template).0).collect();
        heads.into_iter().for_each(|head| give_back(head, None));
        assert_eq!(HEADS.with_borrow(Vec::len), KEPT);
        let (mut large, _) = take(template);
        for at in 0..2 * ROOMY {
            let name = HeaderName::try_from(format!("x-{at}")).unwrap();
            Rc::make_mut(&mut large).headers.insert(name, HeaderValue::from_static(""));
        }
        give_back(large, None);
        assert_eq!(HEADS.with_borrow(Vec::len), KEPT - 1);
    }
}
