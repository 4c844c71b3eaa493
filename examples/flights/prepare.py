"""Flights from New York with what is known when they are scheduled: timetable, weather, history.

Left out of the project's features, though there to be chosen: `month` and `day_of_year`, for under a split by time the
months to come are none of those learned from (they made the log loss on the last months worse). The aircraft is there
to be looked at, yet the gate refuses it: its registration is filled in after the flight.
"""

from collections.abc import Mapping

import ibis

from sluice.features.joins import aggregate_earlier, join_earlier

LATE_MINUTES = 15
ARRIVED_HOURS = 48  # older than what the contract calls known of an arrival, so that hours of the day agree
WEATHER = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")
PLANE = ("type", "manufacturer", "model", "engines", "seats", "engine")
WEATHER_HISTORY = ("rain_3h", "visib_least_3h", "pressure_change_3h")
LATE_HISTORY = {  # the columns that must agree, and how many hours of arrivals count, up to two days before
    "route_late_2d": (("origin", "dest"), 24),
    "carrier_late_2d": (("carrier",), 24),
    "flight_late_2w": (("carrier", "flight"), 14 * 24),
}


def rows(tables: Mapping[str, ibis.Table]) -> ibis.Table:
    """One row a flight: all columns of the flight, and what is joined or computed.

    Minutes are minutes of the local day; `duration` is the scheduled one in minutes, by the airports' time zones.
    """
    flights = _with_label(_with_calendar(tables["flights"]))
    rows = _with_plane(flights, tables["planes"])
    rows = _with_airports(rows, tables["airports"])
    rows = join_earlier(rows, tables["weather"], ["origin"], "time_hour", WEATHER)
    rows = _with_weather_history(rows, tables["flights"], tables["weather"])
    return _with_lateness(rows, _with_label(tables["flights"]))


def _with_label(flights: ibis.Table) -> ibis.Table:
    reason = ibis.cases(
        (flights.arr_delay.notnull(), ibis.null("string")), (flights.dep_time.isnull(), "cancelled"), else_="diverted"
    )
    return flights.mutate(late=(flights.arr_delay > LATE_MINUTES).cast("int64"), left_out=reason)


def _with_calendar(flights: ibis.Table) -> ibis.Table:
    digits = [flights.year.cast("string"), *(flights[part].cast("string").lpad(2, "0") for part in ("month", "day"))]
    day = (digits[0] + "-" + digits[1] + "-" + digits[2]).try_cast("date")
    return flights.mutate(
        day_of_week=day.day_of_week.index().cast("int64"),
        day_of_year=day.day_of_year().cast("int64"),
        departure_minute=flights.hour * 60 + flights.minute,
        arrival_minute=(flights.sched_arr_time // 100) * 60 + flights.sched_arr_time % 100,
        departures_in_hour=flights.flight.count().over(group_by=[flights.origin, flights.time_hour]),
    )


def _with_plane(rows: ibis.Table, planes: ibis.Table) -> ibis.Table:
    planes = planes.select(*PLANE, _tailnum="tailnum", plane_year="year")
    joined = rows.left_join(planes, rows.tailnum == planes._tailnum)
    return joined.mutate(plane_age=joined.year - joined.plane_year).drop("_tailnum")


def _with_airports(rows: ibis.Table, airports: ibis.Table) -> ibis.Table:
    ends = airports.select(_dest="faa", dest_lat="lat", dest_lon="lon", dest_alt="alt", _dest_tz="tz")
    starts = airports.select(_origin="faa", _origin_tz="tz")
    joined = rows.left_join(ends, rows.dest == ends._dest)
    joined = joined.left_join(starts, rows.origin == starts._origin)
    minutes = joined.arrival_minute - joined.departure_minute - 60 * (joined._dest_tz - joined._origin_tz)
    return joined.mutate(duration=(minutes + 2 * 1440) % 1440).drop("_dest", "_dest_tz", "_origin", "_origin_tz")


def _with_weather_history(rows: ibis.Table, flights: ibis.Table, weather: ibis.Table) -> ibis.Table:
    """Rain and least visibility of the three hours known, and how the pressure changed over the last three."""
    known = {"rain_3h": ("precip", "sum"), "visib_least_3h": ("visib", "min")}
    rows = aggregate_earlier(
        rows, weather, ["origin"], "time_hour", known, lag_hours=1, window_hours=3, moments=flights
    )
    before = {"_pressure_before": "pressure"}
    rows = join_earlier(rows, weather, ["origin"], "time_hour", before, hours=4, observed_at=None)
    return rows.mutate(pressure_change_3h=rows.pressure - rows._pressure_before).drop("_pressure_before")


def _with_lateness(rows: ibis.Table, flights: ibis.Table) -> ibis.Table:
    """The share of late arrivals two days before and more: of the route, the airline, the flight of this number."""
    for name, (on, hours) in LATE_HISTORY.items():
        share = {name: ("late", "mean")}
        rows = aggregate_earlier(
            rows, flights, on, "time_hour", share, lag_hours=ARRIVED_HOURS, window_hours=hours, moments=flights
        )
    return rows
