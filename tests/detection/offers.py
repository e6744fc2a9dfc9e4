"""Random offers of up to three events, for property tests."""

from hypothesis import strategies as st

from odds_service.model.market import MarketKey
from tests.support.observations import Offer

prices = st.dictionaries(
    st.sampled_from(["home", "draw", "away", "Somebody"]),
    st.one_of(st.none(), st.sampled_from([1.5, 2.0, 3.25])),
    min_size=1,
)
market_keys = st.builds(
    MarketKey,
    st.sampled_from(["h2h", "totals", "player_points"]),
    st.sampled_from(["", "0", "2.5", "-3.5"]),
    st.sampled_from(["", "A Player"]),
)
offers: st.SearchStrategy[Offer] = st.dictionaries(
    st.sampled_from(["e1", "e2", "e3"]),
    st.dictionaries(
        st.sampled_from(["b1", "b2"]), st.dictionaries(market_keys, prices, max_size=4)
    ),
)
