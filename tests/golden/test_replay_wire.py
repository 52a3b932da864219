"""Wire bytes pinned by hand: simulator and decoder share `nengshao.wire`, so an outside witness is needed."""

import datetime as dt

from nengshao.domain.time import instant_of
from simulators.fleet import Fleet
from simulators.replay import RealPlant

# Row 2 of the file: "01/01/2018 00:15,3.17,…": the quarter of an hour that starts at 2018-01-01 00:00 UTC+8.
FIRST = (
    b'{"deviceId":"gwangyang-meter","enterpriseCode":"91990101M00020183X","data":[{"dataCode":"0000000002330011",'
    b'"dataValue":3.17,"inputType":4,"statType":0,"statDate":"2018-01-01 00:00:00",'
    b'"uploadDate":"2018-01-01 00:15:05","scope":1,"valid":true,"meter":"00"}],"seq":2}'
)

# The file's 96th row is printed "01/01/2018 00:00": it is the last quarter of an hour of 1 January.
MIDNIGHT = b'"statDate":"2018-01-01 23:45:00","uploadDate":"2018-01-02 00:00:05"'


def test_the_first_message_of_the_real_plant_is_these_bytes():
    start = instant_of(dt.date(2018, 1, 1))
    message = next(RealPlant().messages(start, start + 3600))
    assert message.payload == FIRST
    assert message.topic == "nhjc/v1/91990101M00020183X/gwangyang-meter/data"
    assert (message.at, message.seq) == (1514736905, 2)  # 2017-12-31 16:15:05 UTC


def test_the_interval_that_is_printed_as_midnight_ends_its_day():
    end_of_day = instant_of(dt.date(2018, 1, 2))
    (message,) = RealPlant().messages(end_of_day, end_of_day + 900)
    assert MIDNIGHT in message.payload


def test_a_day_of_readings_travels_in_one_message_when_it_is_asked_to():
    (message,) = RealPlant(per_message=96).messages(0, instant_of(dt.date(2018, 1, 2)) + 60)
    assert message.payload.count(b'"uploadDate":"2018-01-02 00:00:05"') == 96


def test_a_province_that_writes_zero_for_valid_and_a_device_that_prints_its_codes_are_on_the_wire():
    fleet = Fleet(5, days=1, faulty=False)
    payloads = {m.device: m.payload for m in fleet.messages(0, fleet.end + 3600)}
    assert b'"valid":0,"meter":"B"' in payloads["dc-power-room"]
    assert b'"dataCode":"00-00-0000-011500-11"' in payloads["steel-energy-centre"]
