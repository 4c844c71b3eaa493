"""Orders with their customers, and with what each customer ordered and sent back before."""

from collections.abc import Mapping

import ibis

from sluice.features.joins import aggregate_earlier

RETURN_HOURS = 30 * 24  # until it is known whether an order was sent back: the contract's `known`
YEAR_HOURS = 365 * 24


def rows(tables: Mapping[str, ibis.Table]) -> ibis.Table:
    """One row an order; `returned_before` is a share of at least 30 days old orders, null where there are none."""
    orders = tables["orders"]
    orders = orders.mutate(returned=orders.returned.cast("int64"))
    customers = tables["customers"].rename(_customer="customer")
    rows = orders.left_join(customers, orders.customer == customers._customer).drop("_customer")
    rows = rows.mutate(days_a_customer=rows.ordered.delta(rows.joined, unit="day"))
    return aggregate_earlier(
        rows,
        orders,
        ["customer"],
        "ordered",
        {"returned_before": ("returned", "mean"), "orders_before": ("id", "count")},
        lag_hours=RETURN_HOURS,
        window_hours=YEAR_HOURS,
        moments=orders,
    )
