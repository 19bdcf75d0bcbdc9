# nvml.h, NVIDIA's own, from the Go module that carries it; the library itself is found at run time.
ashlar_go_module(GO_NVML_DIR github.com/NVIDIA/go-nvml v0.13.1-0 h1:iazm3YDW1mYzvuY0uGyFsDvU87Ahr8P9AATN/VD4PZg=)
add_library(nvml_header INTERFACE)
target_include_directories(nvml_header SYSTEM INTERFACE "${GO_NVML_DIR}/pkg/nvml")
