"""What a stage wrote, looked at one thing at a time: plain content for programs, tables for people."""
