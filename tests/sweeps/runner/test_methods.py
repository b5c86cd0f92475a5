"""Methods as a command line names them."""

from __future__ import annotations

import pytest

from bdw.config import RunConfig
from bdw.errors import InputError
from sweeps.runner.methods import Method, chosen, selecting

KNOWN = {
    "RotNet": Method("RotNet", {"weighter": "uniform"}),
    "BDW": Method("BDW", {"weighter": "beta", "meta_every": 4}),
}


def test_names_come_back_in_their_order() -> None:
    assert chosen(["BDW", "RotNet"], KNOWN) == [KNOWN["BDW"], KNOWN["RotNet"]]


def test_settings_are_fields_of_a_method_that_goes_by_its_whole_text() -> None:
    plain, other = chosen(["BDW", " BDW  eta=100 lambda=2e-1 meta_every=2 meta_loss=pretext"], KNOWN)
    assert plain == KNOWN["BDW"]
    assert other.name == "BDW eta=100 lambda=2e-1 meta_every=2 meta_loss=pretext"
    fields = {"weight_lr": 100, "cdf_threshold": 0.2, "meta_every": 2, "meta_loss": "pretext"}
    assert other.fields == {"weighter": "beta", **fields}
    config = RunConfig().replace(**other.fields)
    assert (config.weighter.weight_lr, config.weighter.cdf_threshold, config.weighter.meta_every) == (100.0, 0.2, 2)


def test_settings_go_by_name_or_dotted_path() -> None:
    (dotted,) = chosen(["BDW weighter.cdf_threshold=0.3 gradient.direction_every=2 meta.shots=1"], KNOWN)
    (short,) = chosen(["BDW lambda=0.3 direction_every=2 shots=1"], KNOWN)
    assert dotted.fields == short.fields


def test_a_selector_is_a_method_with_its_own_options() -> None:
    known = {**KNOWN, **selecting()}
    (method,) = chosen(["Near: simcore selected_share=0.2 selector.features=pixels selector.clusters=9"], known)
    config = RunConfig().replace(**method.fields)
    assert (config.weighter.weighter, config.selector.selector, config.selector.selected_share) == (
        "uniform", "simcore", 0.2
    )  # fmt: skip
    assert (config.selector.selector_options.features, config.selector.selector_options.clusters) == ("pixels", 9)
    (both,) = chosen(["BDW selector=random selected_count=50"], known)
    assert RunConfig().replace(**both.fields).weighter.weighter == "beta"
    with pytest.raises(InputError, match=r"methods: 'selector.clusters' is not known"):
        chosen(["random selector.clusters=9"], known)
    with pytest.raises(InputError, match=r"methods: 'random': selected_share: none cannot work with selector 'random'"):
        chosen(["random"], known)
    with pytest.raises(InputError, match=r"methods: 'simcore': selector\.features: none cannot work with selector"):
        chosen(["simcore"], known)


def test_a_method_goes_by_the_name_that_it_is_given() -> None:
    (named,) = chosen(["Hundred, by  pretext: BDW eta=100 meta_loss=pretext"], KNOWN)
    assert named.name == "Hundred, by pretext"
    assert named.fields == {"weighter": "beta", "meta_every": 4, "weight_lr": 100, "meta_loss": "pretext"}


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "methods: none given"),
        ([""], "methods: '' is not known"),
        (["BWD eta=1"], r"methods: 'BWD' is not known \(did you mean 'BDW'\?\)"),
        (["BDW eta=1", "BDW  eta=1"], "methods: 'BDW eta=1' is given twice"),
        (["Fast: BDW eta=1", "Fast: BDW eta=2"], "methods: 'Fast' is given twice"),
        (["BDW eta=1", "BDW eta=1: RotNet"], "methods: 'BDW eta=1' is given twice"),
        ([" : BDW"], "methods: ' : BDW' cannot go by the name ''; allowed: NAME: METHOD"),
        (["RotNet: BDW"], "methods: 'RotNet: BDW' cannot go by the name 'RotNet'; allowed: NAME: METHOD"),
        (["a|b: BDW"], r"methods: 'a\|b: BDW' cannot go by the name"),
        (["Fast: "], "methods: '' is not known"),
        (["Fast: eta=2"], "methods: 'eta=2' is not known"),
        (["BDW eta="], "methods: 'eta=' is no setting; allowed: NAME=VALUE"),
        (["BDW etta=1"], r"methods: 'etta' is not known \(did you mean 'eta'\?\)"),
        # Whatever a comparison holds equal is no method's to change.
        (["BDW epochs=100"], "methods: 'epochs' is not known"),
        (["BDW target=mnist"], "methods: 'target' is not known"),
        (["BDW budget.epochs=100"], "methods: 'budget.epochs' is not known"),
        (["BDW meta.direction_every=2"], r"did you mean 'gradient.direction_every'"),
    ],
)
def test_what_cannot_be_chosen_is_said(texts: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        chosen(texts, KNOWN)
