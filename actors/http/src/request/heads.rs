//! Heads of requests, used again.
//!
//! A map of headers is several kilobytes, which is more than the allocator keeps at hand: made anew for each request,
//! it was a tenth of what a request costs. A thread keeps as many as it had requests at once, up to a limit.

use std::{cell::RefCell, rc::Rc};

use actix_http::RequestHead;

/// How many a thread keeps; about 7 KB each.
const KEPT: usize = 128;
/// More headers than a head is made with room for: such a one has grown, and is not kept.
const ROOMY: usize = 64;

thread_local! {
    static HEADS: RefCell<Vec<Rc<RequestHead>>> = const { RefCell::new(Vec::new()) };
}

/// A head without headers, its method and path those of some earlier request.
pub(super) fn take() -> Rc<RequestHead> {
    HEADS.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Keeps a head, if nobody else has it.
pub(super) fn give_back(mut head: Rc<RequestHead>) {
    let Some(own) = Rc::get_mut(&mut head) else { return };
    own.headers.clear();
    if own.headers.capacity() > ROOMY {
        return;
    }
    HEADS.with_borrow_mut(|heads| {
        if heads.len() < KEPT {
            heads.push(head);
        }
    });
}

#[cfg(test)]
mod tests {
    use awc::http::header::{ACCEPT, HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn a_head_comes_back_without_its_headers_and_only_from_its_last_owner() {
        let mut head = take();
        Rc::make_mut(&mut head).headers.insert(ACCEPT, HeaderValue::from_static("text/html"));
        let address = Rc::as_ptr(&head);
        give_back(head.clone());
        give_back(head);
        let again = take();
        assert_eq!((Rc::as_ptr(&again), again.headers.len()), (address, 0));
        assert_ne!(Rc::as_ptr(&take()), address, "it was kept once");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let heads: Vec<_> = (0..2 * KEPT).map(|_| take()).collect();
        heads.into_iter().for_each(give_back);
        assert_eq!(HEADS.with_borrow(Vec::len), KEPT);
        let mut large = take();
        for at in 0..2 * ROOMY {
            let name = HeaderName::try_from(format!("x-{at}")).unwrap();
            Rc::make_mut(&mut large).headers.insert(name, HeaderValue::from_static(""));
        }
        give_back(large);
        assert_eq!(HEADS.with_borrow(Vec::len), KEPT - 1);
    }
}
