"""Product norms (能耗限额, 标杆 and 基准水平) as dated rows; read by analytics/norm_library.py."""
