"""Lays out the data: a shop's orders and customers, simulated with a fixed seed. `python lake.py [FOLDER]`."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).parent
SEED, CUSTOMERS, ORDERS = 7, 250, 5000
START, DAYS = pd.Timestamp("2024-01-01", tz="UTC"), 546


def simulate() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Orders and customers.

    The log odds that an order is sent back are the sum of the customer's habit, which no column holds, of the channel,
    the plan, and the amount.
    """
    chance = np.random.default_rng(SEED)
    names = np.array([f"C{number:04d}" for number in range(CUSTOMERS)])
    habit = chance.normal(0, 1.8, CUSTOMERS)
    customers = pd.DataFrame(
        {
            "customer": names,
            "region": chance.choice(["north", "south", "east", "west"], CUSTOMERS),
            "plan": chance.choice(["free", "plus"], CUSTOMERS, p=[0.7, 0.3]),
            "joined": START - pd.to_timedelta(chance.integers(1, 2000, CUSTOMERS), unit="D"),
        }
    )
    who = chance.integers(0, CUSTOMERS, ORDERS)
    amount = np.exp(chance.normal(4, 0.8, ORDERS)).clip(1, 2000).round(2)
    channel = chance.choice(["app", "web", "shop"], ORDERS, p=[0.45, 0.4, 0.15])
    odds = -1.8 + habit[who] + 0.9 * (channel == "app") - 1.2 * (channel == "shop") + 0.6 * (np.log(amount) - 4)
    odds += 0.5 * (customers["plan"].to_numpy()[who] == "plus")
    orders = pd.DataFrame(
        {
            "customer": names[who],
            "ordered": START + pd.to_timedelta(chance.integers(0, DAYS * 24 * 60, ORDERS), unit="min"),
            "amount": amount,
            "items": 1 + chance.poisson(1.5, ORDERS),
            "channel": channel,
            "returned": chance.random(ORDERS) < 1 / (1 + np.exp(-odds)),
        }
    ).sort_values(["ordered", "customer"], ignore_index=True)
    orders.insert(0, "id", orders.index + 1)
    return orders, customers


def lay_out(folder: Path) -> None:
    """Write a CSV file of orders for each year, the customers as JSON, then the contract.

    Args:
        folder: Where to; made if it is missing.
    """
    orders, customers = simulate()
    (folder / "orders").mkdir(parents=True, exist_ok=True)
    for year, rows in orders.groupby(orders["ordered"].dt.year):
        rows.to_csv(folder / "orders" / f"{year}.csv", index=False, date_format="%Y-%m-%dT%H:%M:%SZ")
    customers["joined"] = customers["joined"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    customers.to_json(folder / "customers.json", orient="records", indent=0)
    shutil.copy(HERE / "contract.yaml", folder)


if __name__ == "__main__":
    lay_out(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "data")
