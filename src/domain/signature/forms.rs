//! Which forms of signature are taken: by an endpoint, by a key, by a merchant, by the service.

use super::Form;

/// A set of forms. The bound form is in every set: it binds the whole request, so no endpoint has a reason
/// to refuse it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Forms {
    plain: bool,
    standard_webhooks: bool,
}

impl Forms {
    /// The bound form alone: for what a captured callback must not be turned into.
    pub const BOUND: Self = Self { plain: false, standard_webhooks: false };

    /// Every form: for the endpoints that take callbacks, where a repeat is harmless.
    pub const ANY: Self = Self { plain: true, standard_webhooks: true };

    /// The bound form, and those listed.
    pub fn of(forms: impl IntoIterator<Item = Form>) -> Self {
        forms.into_iter().fold(Self::BOUND, |set, form| match form {
            Form::Bound => set,
            Form::Plain => Self { plain: true, ..set },
            Form::StandardWebhooks => Self { standard_webhooks: true, ..set },
        })
    }

    /// The forms that both sets hold.
    pub const fn and(self, other: Self) -> Self {
        Self {
            plain: self.plain && other.plain,
            standard_webhooks: self.standard_webhooks && other.standard_webhooks,
        }
    }

    /// The same set, or the bound form alone if `required`.
    pub const fn bound_if(self, required: bool) -> Self {
        if required { Self::BOUND } else { self }
    }

    /// Whether a form is in the set.
    pub const fn contains(self, form: Form) -> bool {
        match form {
            Form::Bound => true,
            Form::Plain => self.plain,
            Form::StandardWebhooks => self.standard_webhooks,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_taken_where_every_set_holds_it_and_the_bound_form_always_is() {
        let taken = |forms: Forms| {
            [Form::Plain, Form::StandardWebhooks, Form::Bound].map(|form| forms.contains(form))
        };
        assert_eq!(taken(Forms::ANY), [true, true, true]);
        assert_eq!(taken(Forms::BOUND), [false, false, true]);
        assert_eq!(taken(Forms::of([])), [false, false, true]);
        assert_eq!(taken(Forms::of([Form::Plain, Form::Bound])), [true, false, true]);
        assert_eq!(taken(Forms::ANY.and(Forms::of([Form::StandardWebhooks]))), [false, true, true]);
        assert_eq!(taken(Forms::BOUND.and(Forms::ANY)), [false, false, true]);
        assert_eq!(taken(Forms::ANY.bound_if(true)), [false, false, true]);
        assert_eq!(taken(Forms::ANY.bound_if(false)), [true, true, true]);
    }
}
