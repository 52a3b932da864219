module nengshao/tests/servers/influxd

go 1.23.0

require (
	github.com/influxdata/influxdb/v2 v2.7.12
	github.com/influxdata/pkg-config v0.2.14
)
