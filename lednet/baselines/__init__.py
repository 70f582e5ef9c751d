"""Methods that LEDNet is compared with, one small file each."""
