"""What the simulated enterprises consist of: devices, points, and what a point's row says of it.

The figures are those of plants that could stand anywhere: a 5 000 t/d cement kiln, a 100 t electric-arc
furnace, a 10 MW data hall. Names and figures are invented; nothing here describes a real enterprise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from fractions import Fraction
from typing import Any, Final

from nengshao.domain.factors import Basis
from nengshao.domain.readings import DataScope, InputType, StatType
from nengshao.domain.time import DAY_S
from nengshao.domain.units import MILLI, Carrier, PointKind, Role, Unit, Use, to_canonical
from simulators import loads
from simulators.codes import HUNAN_COUNTY, SHANDONG_COUNTY

SLOT_S: Final = 900
"""The grid on which truth is known: a quarter of an hour, the standard's 实时 cadence."""

SLOTS_A_DAY: Final = DAY_S // SLOT_S


class Story(Enum):
    """What happens to a register in a year that has faults."""

    PLAIN = "plain"
    ROLLS_OVER = "rolls over"
    IS_REPLACED = "is replaced"
    RATIO_CHANGES = "ratio changes"  # other transformers, of twice the ratio; the register runs on
    UNIT_CHANGES = "unit changes"  # the collector sends thousands of the unit from then on


@dataclass(frozen=True, slots=True, kw_only=True)
class PointSpec:
    """A point of a plant. `load` names the flow it measures (see `simulators.loads`).

    `unit` and `digits`: what dataValue counts, before `ratio` (CT×PT). `capacity_per_hour` is in `unit`
    after the ratio, `register_size` in the meter's display units before it.
    """

    load: str
    data_code: str
    name: str
    device: str
    carrier: Carrier
    kind: PointKind
    unit: Unit
    digits: int
    capacity_per_hour: int
    meter: str = "00"
    role: Role = Role.INPUT
    use: Use = Use.ENERGY
    parent: str = ""  # the tag of the meter above, in the same enterprise
    scope: DataScope = DataScope.WHOLE_PLANT
    stat_type: StatType = StatType.REAL_TIME
    input_type: InputType = InputType.FIELD_METER
    cadence_s: int = SLOT_S
    ratio: int = 1
    register_size: int | None = None
    story: Story = Story.PLAIN

    @property
    def step(self) -> int:
        """Slots from one reading to the next (a month's: those of a day, its smallest part)."""
        return self.cadence_s // SLOT_S

    @property
    def milli_per_count(self) -> int:
        """Energy that one count of the last digit stands for, 10⁻³ canonical unit; exact by design."""
        energy = Fraction(self.ratio * MILLI, 10**self.digits) * to_canonical(self.unit)
        if self.kind is PointKind.POWER:
            energy *= Fraction(self.cadence_s, 3600)
        if energy.denominator != 1:
            raise ValueError(f"{self.name}: one count is no whole number of 10⁻³ units")
        return int(energy)

    @property
    def later(self) -> PointSpec:
        """What the point is once its story has happened to it."""
        if self.story is Story.RATIO_CHANGES:
            return replace(self, ratio=2 * self.ratio)
        if self.story is Story.UNIT_CHANGES and self.register_size is not None:
            return replace(
                self,
                unit=Unit.MWH,
                digits=self.digits + 3,
                capacity_per_hour=self.capacity_per_hour // 1000,
                register_size=self.register_size // 1000,
            )
        return self


@dataclass(frozen=True, slots=True)
class VirtualSpec:
    """A virtual point of electricity: the sum of others, inside the boundary, beside the totals."""

    data_code: str
    meter: str
    name: str
    loads: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProductSpec:
    """What a plant makes. Output follows a flow: `per_unit` of it (10⁻³ canonical unit) goes into one `unit`.

    `shares`: which part of which points' energy the product is charged with; none: all of the plant's.
    `target`: kg of coal (calorific basis) per unit. `price`: CNY per unit, comparable. `parameters`: what its
    norm's corrections ask for: name, value, unit.
    """

    product: str
    name: str
    unit: str
    norm: str
    load: str
    per_unit: int
    target: str
    price: Fraction
    shares: tuple[tuple[str, str], ...] = ()
    parameters: tuple[tuple[str, int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """A data collector; `by_hand`: the desk at which people enter figures."""

    device: str
    name: str
    by_hand: bool = False


@dataclass(frozen=True, slots=True)
class PlantSpec:
    """An enterprise: what it consists of, how it runs, and how its quota is sized.

    `pace`: the year's consumption over the quota that it is given, on `basis`.
    `valid`: how its province writes a valid reading (its dialect).
    """

    slug: str
    number: int
    name: str
    industry: str  # GB/T 4754-2017 class
    dialect: str
    valid: bool | int
    devices: tuple[DeviceSpec, ...]
    points: tuple[PointSpec, ...]
    loads: Callable[[loads.Run], dict[str, list[int]]]
    basis: Basis
    pace: Fraction
    region: str
    product: ProductSpec
    virtual: tuple[VirtualSpec, ...] = ()
    prints_codes: bool = False


# Collection class and energy type of the data codes are DOMAIN §1.5 and §9.3 (02 3300 electricity, 01 1500
# natural gas are seen on the wire; the others follow the same pattern). Process and equipment numbers are
# the plant's own. Usage 30 is 产出; 11 is what platforms show for consumption.
_POWER: Final = "0000000002330011"
_DIESEL: Final = "0000000002210011"
_TOTAL: Final = f"{_POWER}.0.T"
_KWH: Final[dict[str, Any]] = {"carrier": Carrier.ELECTRICITY, "unit": Unit.KWH}


def _power_register(**fields: Any) -> PointSpec:
    return PointSpec(**{**_KWH, "kind": PointKind.REGISTER, "digits": 2, **fields})


def _power_mean(**fields: Any) -> PointSpec:
    return PointSpec(**{**_KWH, "kind": PointKind.POWER, "digits": 1, **fields})


_PROCESS: Final[dict[str, Any]] = {"role": Role.SUB, "scope": DataScope.PROCESS, "cadence_s": 3600}

CEMENT: Final = PlantSpec(
    slug="cement",
    number=1,
    name="示例水泥有限公司（仿真）",
    industry="3011",
    dialect="national",
    valid=True,
    devices=(
        DeviceSpec("cement-incomers", "总降压站采集器"),
        DeviceSpec("cement-processes", "工序电表采集器"),
        DeviceSpec("cement-site", "厂区采集器"),
        DeviceSpec("cement-desk", "手工填报", by_hand=True),
    ),
    points=(
        _power_register(load="incomer_1", data_code=_POWER, meter="01", name="总降 1# 进线",
                        device="cement-incomers",
                        ratio=6000, register_size=10_000, capacity_per_hour=40_000, story=Story.ROLLS_OVER),
        _power_register(load="incomer_2", data_code=_POWER, meter="02", name="总降 2# 进线",
                        device="cement-incomers",
                        ratio=6000, register_size=10_000, capacity_per_hour=40_000, story=Story.IS_REPLACED),
        _power_register(load="kiln", data_code="0200000002330011", name="熟料烧成用电",
                        device="cement-processes", parent=_TOTAL,
                        ratio=1000, register_size=1_000_000, capacity_per_hour=10_000, **_PROCESS),
        _power_register(load="raw_mill", data_code="0100000002330011", name="生料制备用电",
                        device="cement-processes", parent=_TOTAL, story=Story.UNIT_CHANGES,
                        ratio=1000, register_size=1_000_000, capacity_per_hour=12_000, **_PROCESS),
        _power_mean(load="cement_mill", data_code="0300000002330011", name="水泥粉磨用电",
                    device="cement-processes", parent=_TOTAL,
                    capacity_per_hour=18_000, **_PROCESS),
        _power_register(load="pv", data_code="0000000002330030", name="厂区光伏", device="cement-site",
                        carrier=Carrier.OWN_NON_FOSSIL_ELECTRICITY, use=Use.NON_FOSSIL, ratio=100,
                        register_size=1_000_000, capacity_per_hour=4_000),
        _power_register(load="auxiliary", data_code="0400000002330011", name="公用及辅助用电",
                        device="cement-site", parent=_TOTAL,
                        ratio=200, register_size=1_000_000, capacity_per_hour=4_000, **_PROCESS),
        PointSpec(load="coal", data_code="0000000001040011", name="烟煤消费（盘存）", device="cement-desk",
                  carrier=Carrier.BITUMINOUS_COAL, kind=PointKind.AMOUNT, unit=Unit.TONNE, digits=2,
                  capacity_per_hour=60,
                  stat_type=StatType.MONTH, input_type=InputType.MANUAL, cadence_s=DAY_S),
        PointSpec(load="diesel_in", data_code=_DIESEL, meter="IN", name="柴油购进", device="cement-desk",
                  carrier=Carrier.DIESEL, kind=PointKind.AMOUNT, unit=Unit.TONNE, digits=3,
                  capacity_per_hour=2,
                  stat_type=StatType.MONTH, input_type=InputType.MANUAL, cadence_s=DAY_S),
        PointSpec(load="diesel_stock", data_code=_DIESEL, meter="STOCK", name="柴油盘点",
                  device="cement-desk",
                  carrier=Carrier.DIESEL, kind=PointKind.STOCK, unit=Unit.TONNE, digits=3,
                  capacity_per_hour=2,
                  stat_type=StatType.MONTH, input_type=InputType.MANUAL, cadence_s=DAY_S),
    ),
    loads=loads.cement,
    basis=Basis.CALORIFIC,
    pace=Fraction(112, 100),
    region=HUNAN_COUNTY,
    product=ProductSpec(
        "clinker", "水泥熟料", "t", "clinker", load="coal", per_unit=147_000,  # 147 kg of coal a tonne
        target="108", price=Fraction(260),
        shares=(("coal", "1"), ("kiln", "1"), ("raw_mill", "1")), parameters=(("altitude", 60, "m"),),
    ),
    virtual=(VirtualSpec(_POWER, "T", "总降进线合计", ("incomer_1", "incomer_2")),),
)  # fmt: skip
"""A kiln whose coal is a monthly figure, well ahead of its quota; its diesel is bought and taken stock of."""

STEEL: Final = PlantSpec(
    slug="steel",
    number=2,
    name="示例电炉钢有限公司（仿真）",
    industry="3120",
    dialect="national",
    valid=True,
    devices=(
        DeviceSpec("steel-energy-centre", "能源中心采集器"),
        DeviceSpec("steel-workshops", "车间采集器"),
    ),
    points=(
        _power_register(load="main", data_code=_POWER, name="220 kV 关口表",
                        device="steel-energy-centre", digits=3,
                        ratio=140_000, register_size=100_000, capacity_per_hour=140_000,
                        story=Story.IS_REPLACED),
        PointSpec(load="gas", data_code="0000000001150011", name="天然气总管", device="steel-energy-centre",
                  carrier=Carrier.NATURAL_GAS, kind=PointKind.AMOUNT, unit=Unit.CUBIC_METRE, digits=1,
                  capacity_per_hour=8_000),
        PointSpec(load="heat_out", data_code="0000000002320030", name="外供余热蒸汽",
                  device="steel-energy-centre",
                  carrier=Carrier.HEAT, kind=PointKind.AMOUNT, role=Role.OUTPUT, unit=Unit.GJ, digits=2,
                  capacity_per_hour=120),
        _power_mean(load="furnace", data_code="0101010102330011", name="电弧炉变压器",
                    device="steel-workshops",
                    capacity_per_hour=110_000, role=Role.SUB, scope=DataScope.KEY_EQUIPMENT, cadence_s=3600),
        _power_register(load="oxygen", data_code="0500000002330011", name="制氧站用电",
                        device="steel-workshops", story=Story.RATIO_CHANGES,
                        ratio=2000, register_size=1_000_000, capacity_per_hour=16_000, **_PROCESS),
    ),
    loads=loads.steel,
    basis=Basis.CALORIFIC,
    pace=Fraction(99, 100),
    region=HUNAN_COUNTY,
    product=ProductSpec(
        "eaf_steel", "电炉钢", "t", "eaf_ge70", load="furnace", per_unit=486_000,  # 486 kWh a tonne
        target="75", price=Fraction(3400),
        shares=(("furnace", "1"), ("oxygen", "1"), ("gas", "1/20")),
    ),
    prints_codes=True,
)  # fmt: skip
"""An electric-arc furnace that sells steam: inputs minus outputs, close to its pace."""

DATACENTRE: Final = PlantSpec(
    slug="datacentre",
    number=3,
    name="示例数据中心有限公司（仿真）",
    industry="6450",
    dialect="yantai",
    valid=0,  # in this dialect 0 means valid
    devices=(DeviceSpec("dc-power-room", "配电室采集器"), DeviceSpec("dc-it", "机房列头柜采集器")),
    points=(
        _power_register(load="feed_a", data_code=_POWER, meter="A", name="市电 A 路", device="dc-power-room",
                        register_size=10_000_000, capacity_per_hour=20_000, story=Story.ROLLS_OVER),
        _power_register(load="feed_b", data_code=_POWER, meter="B", name="市电 B 路", device="dc-power-room",
                        register_size=10_000_000, capacity_per_hour=20_000, story=Story.IS_REPLACED),
        PointSpec(load="diesel", data_code="0000000002210011", name="柴油发电机", device="dc-power-room",
                  carrier=Carrier.DIESEL, kind=PointKind.AMOUNT, unit=Unit.KG, digits=1,
                  capacity_per_hour=2_000,
                  stat_type=StatType.DAY, cadence_s=DAY_S),
        _power_mean(load="it", data_code="0100000002330011", name="IT 设备用电", device="dc-it",
                    role=Role.SUB, scope=DataScope.PROCESS, capacity_per_hour=14_000),
    ),
    loads=loads.datacentre,
    basis=Basis.EQUIVALENT,
    pace=Fraction(90, 100),
    region=SHANDONG_COUNTY,
    product=ProductSpec(
        "it_power", "IT 设备用电量", "kWh", "data_centre", load="it", per_unit=1_000,
        target="0.17", price=Fraction(6, 5),
    ),
    virtual=(VirtualSpec(_POWER, "T", "市电合计", ("feed_a", "feed_b")),),
)  # fmt: skip
"""A data hall with two feeds and a province that writes 0 for valid, below its pace."""

PLANTS: Final = {plant.slug: plant for plant in (CEMENT, STEEL, DATACENTRE)}
"""The plants a fleet may be made of."""
