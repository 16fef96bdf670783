// The twin of device.h on the CPU. See device.h for what each function does.
#pragma once
