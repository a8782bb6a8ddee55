#include <stdio.h>

int main(void)
{
	(void)puts("sluice " SLUICE_VERSION);
	return 0;
}
